// Two changed the same record: what does not overlap is merged, the rest is chosen.
import { useEffect, useState } from "preact/hooks";
import { type ApiRequest, Problem, read, send } from "../api.ts";
import { type Json, type JsonObject, type Path, differences, get, merge, overlap, pointerOf, put } from "../json.ts";
import { type Where, apiPath } from "../router.ts";
import { Actor, JsonText, Time, Value, count, shortId, visible } from "../text.tsx";
import type { Change, StoredRecord } from "../types.ts";
import { ProblemNote, RequestView, notify, useAction, useLoad } from "../ui.tsx";

type Side = "theirs" | "mine";

export function Conflict({ where, base, theirs, mine, onSaved, onCancel }: {
  where: Where;
  base: StoredRecord;
  theirs: StoredRecord;
  mine: JsonObject;
  onSaved: (record: StoredRecord) => void;
  onCancel: () => void;
}) {
  const [current, setCurrent] = useState(theirs);
  const [chosen, setChosen] = useState<Record<string, Side>>({});
  useEffect(() => setCurrent(theirs), [theirs]);
  const history = useLoad((signal) => read<{ items: Change[] }>(`${apiPath(where)}/${base.id}/history`, [["limit", "20"]], signal), [current.revision]);
  const between = history.data?.items.filter((change) => change.revision > base.revision) ?? [];
  const { merged, conflicts } = merge(base.data, current.data, mine);
  const result = conflicts.reduce<Json>((data, path) => chosen[pointerOf(path)] === "mine" ? put(data, path, get(mine, path)) as Json : data, merged);
  const open = conflicts.filter((path) => !chosen[pointerOf(path)]);
  const request: ApiRequest = { method: "PUT", path: `${apiPath(where)}/${base.id}`, body: result, headers: { "If-Match": `"${current.revision}"` } };
  const action = useAction();
  const save = () => action.run(async () => {
    try {
      const answer = await send<StoredRecord>(request);
      notify(`Saved as revision ${answer.body.revision}.`, answer.headers.get("X-Request-ID"), answer.body.id);
      onSaved(answer.body);
    } catch (error) {
      if (!(error instanceof Problem && error.status === 412)) throw error;
      // It changed once more: merge with that.
      setCurrent(await read<StoredRecord>(`${apiPath(where)}/${base.id}`));
      notify("It changed once more; this is merged with it now.");
    }
  });
  const paths = rows(differences(base.data, current.data), differences(base.data, mine), conflicts);
  return (
    <section class="screen conflict">
      <header class="bar">
        <h1>Merge <bdi>{where.collection}</bdi> <span class="mono">{shortId(base.id)}</span></h1>
        <span class="spring" />
        <button type="button" onClick={onCancel}>Back to mine</button>
        <button type="button" class="primary" disabled={open.length > 0} aria-disabled={action.busy} onClick={() => void save()}>Save the merge</button>
      </header>
      <p role="status">
        You began with revision {base.revision}. It is at revision {current.revision} now
        {between.length > 0 && <>: {between.slice(0, 5).map((change, index) => (
          <span key={change.seq}>{index > 0 && ", "}<Actor name={change.actor} /> ({change.command ?? change.operation}, <Time at={change.at} />)</span>
        ))}</>}.{" "}
        {conflicts.length
          ? <strong>{count(conflicts.length, "member")} changed on both sides{open.length ? ": choose." : ", chosen."}</strong>
          : "Nothing overlaps: the merge below has both."}
      </p>
      <ProblemNote error={action.error} />
      <table class="differences">
        <thead><tr><th scope="col">member</th><th scope="col">base</th><th scope="col">theirs</th><th scope="col">mine</th></tr></thead>
        <tbody>
          {paths.map((path) => {
            const pointer = pointerOf(path);
            const isConflict = conflicts.some((other) => overlap(other, path));
            const pick: Side | undefined = isConflict ? chosen[pointer] : get(mine, path) !== get(base.data, path) && differences(get(base.data, path), get(mine, path)).length ? "mine" : "theirs";
            return (
              <tr key={pointer} class={isConflict ? "both" : ""}>
                <th scope="row" class="mono"><bdi>{visible(pointer || "/")}</bdi></th>
                <td><Value value={get(base.data, path)} length={400} /></td>
                {(["theirs", "mine"] as const).map((side) => (
                  <td key={side} class={pick === side ? "picked" : ""}>
                    {isConflict
                      ? (
                        <label class="side-choice">
                          <input type="radio" name={pointer} value={side} checked={pick === side} onChange={() => setChosen({ ...chosen, [pointer]: side })} />
                          <span><span class="visually-hidden">{side}: </span><Value value={get(side === "mine" ? mine : current.data, path)} length={400} /></span>
                        </label>
                      )
                      : <Value value={get(side === "mine" ? mine : current.data, path)} length={400} />}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      <h2>The merge{open.length > 0 && <span class="faint"> · with theirs where nothing is chosen yet</span>}</h2>
      <JsonText value={result} />
      <RequestView request={request} />
    </section>
  );
}

/** Every member that one side changed, once: a conflict stands for those below it. */
function rows(theirs: Path[], mine: Path[], conflicts: Path[]): Path[] {
  const result: Path[] = [...conflicts];
  for (const path of [...theirs, ...mine]) {
    if (!result.some((other) => overlap(other, path))) result.push(path);
  }
  return result;
}
