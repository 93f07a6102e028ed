/** Moves the view by mouse, touch and keyboard, and reports what the pointer points at. */
import type { Axis } from './axis.ts';
import { GUTTER, type View } from './view.ts';

/** The callbacks of gestures. Places are pixels of the plot. */
export interface GestureActions {
  /** The view has changed. */
  moved(): void;
  pointed(across: number, down: number, event: PointerEvent): void;
  left(): void;
  /** A click or a tap. */
  chosen(across: number, down: number): void;
  /** Requests the read that begins here. */
  followed(across: number, down: number): void;
  /** A double click, or Enter for the selected layer (without a place). */
  zoomed(across?: number, down?: number): void;
  /** The next layer, or the one before. */
  stepped(by: 1 | -1): void;
  /** Requests the read of the selected layer's first key. */
  followedSelected(): void;
  cleared(): void;
}

const WHEEL_ZOOM = 1.0015;
const KEY_ZOOM = 1.4;
const KEY_PAN = 0.1;
/** A pointer that moved less than this has clicked, in pixels. */
const CLICK_DISTANCE = 4;

export function listenToGestures(
  canvas: HTMLCanvasElement,
  view: View,
  actions: GestureActions,
): void {
  listenToPointers(canvas, view, actions);
  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      const factor =
        WHEEL_ZOOM ** ((event.deltaY + event.deltaX) * lines * (event.ctrlKey ? 4 : 1));
      const { across, down } = placeOf(canvas, event);
      // In the gutter of an axis, or with a modifier, only that axis is zoomed.
      const isKeysOnly = event.shiftKey || down > view.height;
      const isLsnsOnly = event.altKey || across < 0;
      if (!isLsnsOnly) view.keys.zoom(factor, across / view.width);
      if (!isKeysOnly) view.lsns.zoom(factor, 1 - down / view.height);
      actions.moved();
    },
    { passive: false },
  );
  canvas.addEventListener('dblclick', (event) => {
    const { across, down } = placeOf(canvas, event);
    actions.zoomed(across, down);
  });
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!useKey(event, view, actions)) return;
    event.preventDefault();
  });
}

/** Returns: whether the key means something here. */
function useKey(event: KeyboardEvent, view: View, actions: GestureActions): boolean {
  const part = event.shiftKey ? 5 * KEY_PAN : KEY_PAN;
  const pan = (axis: Axis, by: number): boolean => {
    axis.pan(by);
    actions.moved();
    return true;
  };
  const zoom = (factor: number): boolean => {
    zoomBoth(view, factor);
    actions.moved();
    return true;
  };
  const act = (action: () => void): boolean => {
    action();
    return true;
  };
  switch (event.key) {
    case 'ArrowLeft':
      return pan(view.keys, -part);
    case 'ArrowRight':
      return pan(view.keys, part);
    case 'ArrowUp':
      return pan(view.lsns, part);
    case 'ArrowDown':
      return pan(view.lsns, -part);
    case '+':
    case '=':
      return zoom(1 / KEY_ZOOM);
    case '-':
    case '_':
      return zoom(KEY_ZOOM);
    case '0':
    case 'Home':
      view.showAll();
      return act(() => actions.moved());
    case 'n':
      return act(() => actions.stepped(1));
    case 'p':
      return act(() => actions.stepped(-1));
    case 'r':
      return act(() => actions.followedSelected());
    case 'Enter':
      return act(() => actions.zoomed());
    case 'Escape':
      return act(() => actions.cleared());
    default:
      return false;
  }
}

/** Zooms around the middle of the view. */
export function zoomBoth(view: View, factor: number): void {
  view.keys.zoom(factor, 0.5);
  view.lsns.zoom(factor, 0.5);
}

interface Touch {
  across: number;
  down: number;
}

function listenToPointers(canvas: HTMLCanvasElement, view: View, actions: GestureActions): void {
  const touches = new Map<number, Touch>();
  let travelled = 0;
  let hadTwo = false;
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (touches.size === 0) {
      travelled = 0;
      hadTwo = false;
    }
    touches.set(event.pointerId, placeOf(canvas, event));
    if (touches.size > 1) hadTwo = true;
  });
  canvas.addEventListener('pointermove', (event) => {
    const place = placeOf(canvas, event);
    const before = touches.get(event.pointerId);
    if (before === undefined) {
      actions.pointed(place.across, place.down, event);
      return;
    }
    const other = [...touches].find(([id]) => id !== event.pointerId)?.[1];
    travelled += Math.hypot(place.across - before.across, place.down - before.down);
    if (other === undefined) {
      if (travelled < CLICK_DISTANCE) return;
      view.keys.pan((before.across - place.across) / view.width);
      view.lsns.pan((place.down - before.down) / view.height);
      actions.left();
    } else {
      pinch(view, { before, place, other });
    }
    touches.set(event.pointerId, place);
    actions.moved();
  });
  const end = (event: PointerEvent): void => {
    const place = touches.get(event.pointerId);
    touches.delete(event.pointerId);
    if (place === undefined || hadTwo || travelled >= CLICK_DISTANCE) return;
    if (event.type !== 'pointerup') return;
    if (event.shiftKey) actions.followed(place.across, place.down);
    else actions.chosen(place.across, place.down);
  };
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('pointerleave', () => actions.left());
}

/** Two fingers: what lies under each of them stays there. */
function pinch(
  view: View,
  { before, place, other }: { before: Touch; place: Touch; other: Touch },
): void {
  const least = 24;
  const scale = (from: number, to: number, fixed: number): number => {
    const distance = Math.abs(from - fixed);
    const wanted = Math.abs(to - fixed);
    return distance < least || wanted < least ? 1 : distance / wanted;
  };
  const keys = scale(before.across, place.across, other.across);
  const lsns = scale(before.down, place.down, other.down);
  view.keys.zoom(keys, other.across / view.width);
  view.lsns.zoom(lsns, 1 - other.down / view.height);
  if (keys === 1) view.keys.pan((before.across - place.across) / view.width / 2);
  if (lsns === 1) view.lsns.pan((place.down - before.down) / view.height / 2);
}

function placeOf(canvas: HTMLCanvasElement, event: MouseEvent): Touch {
  const bounds = canvas.getBoundingClientRect();
  return {
    across: event.clientX - bounds.left - GUTTER.left,
    down: event.clientY - bounds.top - GUTTER.top,
  };
}
