// The proof that the journal contains a change as it is shown.
import { type ApiRequest, read } from "../api.ts";
import { Time, count, shortId } from "../text.tsx";
import type { Proof } from "../types.ts";
import { Dialog, Pending, RequestView, dialog, useLoad } from "../ui.tsx";

interface Checked {
  proof: Proof;
  /** Whether the path leads to the root; null where the browser computes no hashes. */
  holds: boolean | null;
}

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** The root of the Merkle tree to which a path leads (RFC 9162, section 2.1.3). */
async function rootOf({ change, path }: Proof): Promise<string> {
  let hash = bytes(String(change.hash));
  for (const { side, hash: sibling } of path) {
    const pair = side === "left" ? [bytes(sibling), hash] : [hash, bytes(sibling)];
    hash = new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from([1, ...pair[0]!, ...pair[1]!])));
  }
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function proofDialog(seq: number): void {
  dialog.value = <ProofDialog request={{ method: "GET", path: `/changes/${seq}/proof` }} />;
}

function ProofDialog({ request }: { request: ApiRequest }) {
  const loaded = useLoad(async (signal): Promise<Checked> => {
    const proof = await read<Proof>(request.path, [], signal);
    // A page that is not served over HTTPS may compute no hashes.
    const holds = "subtle" in crypto ? await rootOf(proof) === proof.seal.root : null;
    return { proof, holds };
  }, [request.path]);
  const { proof, holds } = loaded.data ?? {};
  return (
    <Dialog title="Proof of a change">
      {!proof ? <Pending loaded={loaded} /> : (
        <>
          <p class={holds === false ? "bad" : holds ? "good" : ""} role="status">
            {holds === false ? "✗ The hash of this change does not lead to its seal."
              : holds ? `✓ The hash of this change ${proof.path.length ? `leads to the root of its seal in ${count(proof.path.length, "step")}` : "is the root of its seal"}.`
                : "This browser computes hashes over HTTPS only."}
          </p>
          <table class="dense"><tbody>
            <tr><th scope="row">change</th><td>#{proof.change.seq} of {proof.change.collection} <span class="mono">{shortId(proof.change.id)}</span></td></tr>
            <tr><th scope="row">its hash</th><td class="mono hash">{proof.change.hash}</td></tr>
            <tr><th scope="row">seal</th><td>of #{proof.seal.first_seq} to #{proof.seal.seq}, <Time at={proof.seal.at} /></td></tr>
            <tr><th scope="row">root</th><td class="mono hash">{proof.seal.root}</td></tr>
            <tr><th scope="row">hash of the seal</th><td class="mono hash">{proof.seal.hash}</td></tr>
          </tbody></table>
          <p class="help">Keep an answer of <code>GET /changes/head</code> elsewhere: <code>persist journal verify --head</code> compares the journal with it.</p>
          <RequestView request={request} />
        </>
      )}
    </Dialog>
  );
}
