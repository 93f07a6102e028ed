/** Tenant and timeline ids: 16 raw bytes on disk, 32 lower-case hex digits in text. */
import { checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';

export const IDENTIFIER_SIZE = 16;

/** Parses 32 hex digits into 16 bytes. Throws `invalid-input`. */
export function parseIdentifier(text: string, what: string): Uint8Array {
  checkText(what, text);
  if (!/^[0-9a-fA-F]{32}$/.test(text)) {
    throw new StorageError('invalid-input', {
      what,
      expected: '32 hex digits',
      actual: JSON.stringify(text),
    });
  }
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

/** 32 lower-case hex digits of the 16 bytes at `offset`. */
export function formatIdentifier(bytes: Uint8Array, offset = 0): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, IDENTIFIER_SIZE).toString('hex');
}
