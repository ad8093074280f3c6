// Any text as a key of a NATS bucket and back: letters, digits, `-` and `_` stand for themselves, every other byte of the UTF-8 is `=XX`.
// Dots too: as they are they would split a key into tokens, and a name may begin or end with one or have two in a row.

/** Bytes of a key; what is longer is no name that Pouch knows. */
export const maxKeyBytes = 512;

/** Throws a TypeError for an empty or overlong key: names are checked before they come here. */
export function encodeKey(key: string): string {
  const bytes = Buffer.from(key);
  if (bytes.length === 0 || bytes.length > maxKeyBytes) throw new TypeError(`a key of ${bytes.length} bytes; it must have 1 to ${maxKeyBytes}`);
  return [...bytes].map((byte) => (isPlain(byte) ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`)).join('');
}

/** Null: not made by `encodeKey`. */
export function decodeKey(encoded: string): string | null {
  if (!/^(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+$/.test(encoded)) return null;
  const bytes = encoded.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

const isPlain = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d || byte === 0x5f;
