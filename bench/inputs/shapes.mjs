/** The shapes of the inputs. */

/** The two shapes that most workloads have: 128 MiB of values each. */
export const SHAPES = [
  { name: '100', count: 1_342_177, length: 100 },
  { name: '8k', count: 16_384, length: 8192 },
];

/** Pages of an image layer: 156 MiB. */
export const IMAGE_COUNT = 20_000;

/** Values of layers that may have very many. */
export const GROWTH_LENGTH = 32;

/** The shapes with their counts scaled. */
export function scaledShapes(scaled) {
  return SHAPES.map((shape) => ({ ...shape, count: scaled(shape.count) }));
}

export function titleOf({ count, length }) {
  return `${count.toLocaleString('en-US')} values of ${length.toLocaleString('en-US')} bytes`;
}
