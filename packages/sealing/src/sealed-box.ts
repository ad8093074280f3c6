// Bytes for one reader: sealed to a public key that it has just made, so that nobody on the way, and nobody later, can open them.
// X25519 (RFC 7748) with a key pair of the sealer's for this one time, HKDF-SHA256 (RFC 5869) over both public keys, AES-256-GCM.
import { createCipheriv, createDecipheriv, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { SealedError } from './keyring.ts';

const tagBytes = 16;
const publicKeyBytes = 44;
const keyType = 'x25519';
/** Each key seals once. */
const nonce = Buffer.alloc(12);

/** A reader's keys: the public one, DER (SPKI), goes to who seals. */
export function makeReader(): { readonly publicKey: Buffer; open(sealed: Uint8Array): Buffer } {
  const pair = generateKeyPairSync(keyType);
  const own = pair.publicKey.export({ type: 'spki', format: 'der' });
  return {
    publicKey: own,
    open(sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
      try {
        const theirs = bytes.subarray(0, publicKeyBytes);
        const decipher = createDecipheriv('aes-256-gcm', sharedKey(pair.privateKey, publicKeyOf(theirs), theirs, own), nonce, { authTagLength: tagBytes });
        decipher.setAuthTag(bytes.subarray(publicKeyBytes, publicKeyBytes + tagBytes));
        return Buffer.concat([decipher.update(bytes.subarray(publicKeyBytes + tagBytes)), decipher.final()]);
      } catch {
        throw new SealedError('what came cannot be opened: it is damaged, or for somebody else');
      }
    },
  };
}

/** For whoever has the private key to this public one. Throws SealedError where it is none. Layout: sealer's public key, tag, ciphertext. */
export function sealFor(readerKey: Uint8Array, plain: Uint8Array): Buffer {
  let reader: KeyObject;
  try {
    reader = publicKeyOf(readerKey);
  } catch {
    throw new SealedError('the key to seal for is no X25519 public key');
  }
  const pair = generateKeyPairSync(keyType);
  const own = pair.publicKey.export({ type: 'spki', format: 'der' });
  const cipher = createCipheriv('aes-256-gcm', sharedKey(pair.privateKey, reader, own, readerKey), nonce, { authTagLength: tagBytes });
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([own, cipher.getAuthTag(), sealed]);
}

function publicKeyOf(der: Uint8Array): KeyObject {
  const key = createPublicKey({ key: Buffer.from(der), type: 'spki', format: 'der' });
  if (key.asymmetricKeyType !== keyType) throw new TypeError('of another kind');
  return key;
}

function sharedKey(privateKey: KeyObject, publicKey: KeyObject, sealer: Uint8Array, reader: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', diffieHellman({ privateKey, publicKey }), Buffer.concat([sealer, reader]), 'pouch sealed box 1', 32));
}
