/** The elements of the page, by their ids, and new ones. Text is set as text, never as markup. */

/** Finds an element that the page was written with. */
export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element ${id}`);
  return found as T;
}

/** Makes an element with text or children. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  content: string | readonly Node[] = '',
  attributes: Readonly<Record<string, string>> = {},
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (typeof content === 'string') made.textContent = content;
  else made.append(...content);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Makes a button, which may look like a link. */
export function button(
  text: string,
  onClick: () => void,
  look: 'button' | 'link' = 'button',
): HTMLButtonElement {
  const made = element('button', text, { type: 'button', class: look });
  made.addEventListener('click', onClick);
  return made;
}
