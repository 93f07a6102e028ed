/** Parses the XML responses of S3, whose length is limited: no document type, no custom entities. */
import { parseXml, type XmlElement, type XmlNode } from '@rgrove/parse-xml';

/** An element, with only the parts that responses of S3 have: elements and texts. */
export class Element {
  readonly #element: XmlElement;

  private constructor(element: XmlElement) {
    this.#element = element;
  }

  /** The root element; undefined if the text is not XML, such as most pages of HTML. */
  static parse(text: string): Element | undefined {
    try {
      const { root } = parseXml(text);
      return root === null ? undefined : new Element(root);
    } catch {
      // Whatever keeps it from being parsed, even its depth.
      return undefined;
    }
  }

  /** Without a namespace. */
  get name(): string {
    return this.#element.name.replace(/^.*:/, '');
  }

  /** The children of a name. */
  children(name: string): Element[] {
    return this.#element.children
      .filter(isElement)
      .map((child) => new Element(child))
      .filter((child) => child.name === name);
  }

  /** The text of the first child of a name; undefined if there is none. */
  textOf(name: string): string | undefined {
    return this.children(name)[0]?.text;
  }

  get text(): string {
    return this.#element.text;
  }
}

function isElement(node: XmlNode): node is XmlElement {
  return node.type === 'element';
}
