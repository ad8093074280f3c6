// AES-256-GCM under one of several keys: the first seals, all of them open, so that a key is replaced without a moment in which something cannot be read.
// Knows no files. No error of it holds a byte of a key or of a secret.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { OperatingError } from '@pouch/process';

/** What cannot be opened; `code` is `sealed`. */
export class SealedError extends OperatingError {
  constructor(message: string) {
    super('sealed', message);
  }
}

/** What sealed bytes belong to: opened for anything else they do not open. */
export interface SealContext {
  readonly name: string;
  readonly generation: string;
}

const magic = Buffer.from('POUCHSEAL1');
const idBytes = 8;
const nonceBytes = 12;
const tagBytes = 16;
export const keyBytes = 32;
/** Of sealed bytes over what was sealed. */
export const sealOverheadBytes = magic.length + idBytes + nonceBytes + tagBytes;

interface Key {
  readonly id: string;
  readonly bytes: Buffer;
}

/** Layout of sealed bytes: magic, first 8 bytes of the key's SHA-256, nonce, tag, ciphertext; magic, key id, name and generation are authenticated, too. */
export class Keyring {
  readonly #keys: readonly Key[];

  /** At least one key of 32 bytes; throws RangeError otherwise. */
  constructor(keys: readonly Buffer[]) {
    if (keys.length === 0 || keys.some((key) => key.length !== keyBytes)) throw new RangeError(`a keyring needs keys of ${keyBytes} bytes`);
    this.#keys = keys.map((bytes) => ({ bytes, id: createHash('sha256').update(bytes).digest('hex').slice(0, idBytes * 2) }));
  }

  /** Of the key that seals. */
  get sealingKeyId(): string {
    return (this.#keys[0] as Key).id;
  }

  seal(plain: Uint8Array, context: SealContext): Buffer {
    const key = this.#keys[0] as Key;
    const nonce = randomBytes(nonceBytes);
    const head = Buffer.concat([magic, Buffer.from(key.id, 'hex')]);
    const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce, { authTagLength: tagBytes });
    cipher.setAAD(authenticated(head, context));
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([head, nonce, cipher.getAuthTag(), sealed]);
  }

  /** Throws SealedError where no key here has sealed it, or where it is not what was sealed for this context. */
  open(sealed: Uint8Array, context: SealContext): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (bytes.length < sealOverheadBytes || !bytes.subarray(0, magic.length).equals(magic)) throw new SealedError(`secret ${context.name}: its sealed bytes are damaged`);
    const head = bytes.subarray(0, magic.length + idBytes);
    const keyId = head.subarray(magic.length).toString('hex');
    const key = this.#keys.find(({ id }) => id === keyId);
    if (key === undefined) throw new SealedError(`secret ${context.name} is sealed with the key ${keyId}, which is not among those of this process: ${this.#keys.map(({ id }) => id).join(', ')}`);
    const nonce = bytes.subarray(head.length, head.length + nonceBytes);
    const tag = bytes.subarray(head.length + nonceBytes, sealOverheadBytes);
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonce, { authTagLength: tagBytes });
    decipher.setAAD(authenticated(head, context));
    decipher.setAuthTag(tag);
    try {
      return Buffer.concat([decipher.update(bytes.subarray(sealOverheadBytes)), decipher.final()]);
    } catch {
      // OpenSSL says no more than that they do not go together.
      throw new SealedError(`secret ${context.name}: its sealed bytes are damaged, or of another secret`);
    }
  }
}

function authenticated(head: Buffer, { name, generation }: SealContext): Buffer {
  return Buffer.concat([head, Buffer.from(`${name}\0${generation}`)]);
}
