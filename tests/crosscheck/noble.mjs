// @noble/curves' FROST(secp256k1, SHA-256) behind one JSON object a line: {"do": name, …} in, {"ok": …} or {"error": …} out.
// Bytes are hexadecimal strings. Signing nonces never leave this process: a commitment's "nonces" is a number that stands for them, once.
import { createInterface } from 'node:readline';

import { secp256k1_FROST as frost } from '@noble/curves/secp256k1.js';
import { bytesToHex, hexToBytes } from '@noble/curves/utils.js';

const kept = [];

const packed = (value) => {
  if (value instanceof Uint8Array) return bytesToHex(value);
  if (Array.isArray(value)) return value.map(packed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, packed(entry)]));
};

const publicPackage = ({ signers, commitments, verifyingShares }) => ({
  signers,
  commitments: commitments.map(hexToBytes),
  verifyingShares: Object.fromEntries(Object.entries(verifyingShares).map(([id, share]) => [id, hexToBytes(share)])),
});
const secret = ({ identifier, signingShare }) => ({ identifier, signingShare: hexToBytes(signingShare) });
const listed = (commitments) =>
  commitments.map(({ identifier, hiding, binding }) => ({ identifier, hiding: hexToBytes(hiding), binding: hexToBytes(binding) }));
const shares = (entries) => Object.fromEntries(Object.entries(entries).map(([id, share]) => [id, hexToBytes(share)]));

const deeds = {
  identifier: ({ number }) => frost.Identifier.fromNumber(number),
  dealer: ({ signers }) => {
    const dealt = frost.trustedDealer(signers);
    return { public: dealt.public, secrets: Object.values(dealt.secretShares) };
  },
  // All members in one process: what is crossed is the key that comes of it, not the messages of another protocol.
  dkg: ({ signers }) => {
    const ids = Array.from({ length: signers.max }, (_, index) => frost.Identifier.fromNumber(index + 1));
    const first = ids.map((id) => frost.DKG.round1(id, signers));
    const others = (index) => first.filter((_, other) => other !== index).map((entry) => entry.public);
    const second = first.map((entry, index) => frost.DKG.round2(entry.secret, others(index)));
    const keys = ids.map((id, index) =>
      frost.DKG.round3(
        first[index].secret,
        others(index),
        second.filter((_, other) => other !== index).map((sent) => sent[id]),
      ),
    );
    return { publics: keys.map((key) => key.public), secrets: keys.map((key) => key.secret) };
  },
  validate: (asked) => frost.validateSecret(secret(asked.secret), publicPackage(asked.public)) === undefined,
  commit: (asked) => {
    const { nonces, commitments } = frost.commit(secret(asked.secret));
    return { ...commitments, nonces: kept.push(nonces) - 1 };
  },
  sign: (asked) => {
    const nonces = kept[asked.nonces];
    kept[asked.nonces] = undefined;
    return frost.signShare(secret(asked.secret), publicPackage(asked.public), nonces, listed(asked.commitments), hexToBytes(asked.message));
  },
  verifyShare: (asked) =>
    frost.verifyShare(publicPackage(asked.public), listed(asked.commitments), hexToBytes(asked.message), asked.identifier, hexToBytes(asked.share)),
  aggregate: (asked) =>
    frost.aggregate(publicPackage(asked.public), listed(asked.commitments), hexToBytes(asked.message), shares(asked.shares)),
  verify: (asked) => frost.verify(hexToBytes(asked.signature), hexToBytes(asked.message), hexToBytes(asked.key)),
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const asked = JSON.parse(line);
    answer = { ok: packed(deeds[asked.do](asked)) };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
