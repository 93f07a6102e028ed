export declare class Rng {
  constructor(seed: bigint | number);
  bytes(length: number): Buffer;
}
export declare function fill(mode: string, seed: bigint | string, length: number): Buffer;
export interface GeneratedEntry {
  readonly key: Buffer;
  readonly lsn: number;
  readonly kind: 'image' | 'wal' | 'clear_vm';
  readonly willInit: boolean;
  readonly payload: Buffer;
}
export interface GeneratorSettings {
  readonly seed: bigint;
  readonly count: number;
}
export declare function parseGen(text: string): GeneratorSettings;
export declare function generate(
  settings: GeneratorSettings,
  image?: boolean,
): Generator<GeneratedEntry>;
export declare function serValue(entry: GeneratedEntry): Buffer;
