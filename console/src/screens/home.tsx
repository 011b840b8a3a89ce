// What there is, and what happened last.
import { useEffect, useState } from "preact/hooks";
import { read } from "../api.ts";
import { useChanges } from "../live.ts";
import { href, listAddress } from "../router.ts";
import { collections, may, mayRegister, maySomething } from "../session.ts";
import { Time, grouped, visible } from "../text.tsx";
import type { Change, Changes, Manifest, MigrationPlan, Page, StoredRecord } from "../types.ts";
import { Pending, useLoad, useTitle } from "../ui.tsx";
import { ChangeList, latestChanges } from "./changes.tsx";
import { Writes } from "./writes.tsx";

const LATEST = 100;
const KINDS: Record<string, string> = { typed: "A class in the code of the service", registered: "A JSON Schema, registered over HTTP" };
const COUNTED = 60;

interface Facts {
  total: number | undefined;
  last: Change | undefined;
}

async function factsOf(name: string, signal: AbortSignal): Promise<[string, Facts]> {
  const [page, changes] = await Promise.all([
    read<Page<StoredRecord>>(`/api/${name}`, [["count", "true"], ["limit", "1"]], signal).catch(() => undefined),
    read<Changes>("/changes", [["collection", name], ["before", "now"], ["limit", "1"]], signal).catch(() => undefined),
  ]);
  return [name, { total: page?.total, last: changes?.items[0] }];
}

export function Home() {
  useTitle("Home");
  const readable = collections.value.filter(({ name }) => may("read", name));
  const names = readable.map(({ name }) => name);
  const isAdmin = maySomething("admin");
  const [round, setRound] = useState(0);
  const facts = useLoad(async (signal) => new Map(await Promise.all(names.slice(0, COUNTED).map((name) => factsOf(name, signal)))), [names.join(), round]);
  const latest = useLoad((signal) => latestChanges([], LATEST, signal), []);
  const plans = useLoad(async (signal) => isAdmin ? (await read<{ items: MigrationPlan[] }>("/migration-plans", [], signal).catch(() => ({ items: [] }))).items : [], [isAdmin]);
  const snapshots = useLoad(async (signal) => isAdmin ? (await read<{ items: Manifest[] }>("/snapshots", [["limit", "1"]], signal).catch(() => ({ items: [] }))).items : [], [isAdmin]);
  const [live, setLive] = useState<Change[]>([]);
  useChanges(latest.data ? [] : null, (changes) => setLive((old) => [...changes.slice(-LATEST).reverse(), ...old].slice(0, LATEST)), undefined, latest.data?.since);
  useEffect(() => {
    if (!live.length) return undefined;
    const timer = setTimeout(() => setRound((number) => number + 1), 2000);
    return () => clearTimeout(timer);
  }, [live]);
  const newest = latest.data?.items[0]?.seq ?? 0;
  const changes = [...live.filter((change) => change.seq > newest), ...(latest.data?.items ?? [])].slice(0, LATEST);
  const taken = snapshots.data?.[0]?.created_at;
  return (
    <section class="screen">
      <header class="bar">
        <h1>Home</h1>
        <span class="spring" />
        {isAdmin && snapshots.data && <span class="faint">{taken ? <>Newest snapshot: <a href={href("/snapshots")}><Time at={taken} /></a></> : <a href={href("/snapshots")}>No snapshot yet</a>}</span>}
        {mayRegister() && <a class="button primary" href={href("/types/new")}>New type from CSV or JSON</a>}
      </header>
      <div class="columns even">
        <div>
          <h2>Collections</h2>
          {!names.length && <p class="note">There is no collection yet{mayRegister() ? <>: <a href={href("/types/new")}>paste a CSV or JSON</a> and it becomes one.</> : " that you may read."}</p>}
          {names.length > 0 && <div class="wide-table">
            <table class="dense">
              <thead><tr><th>name</th><th class="right">records</th><th class="right" title="Version of the schema">version</th><th class="wide-only">kind</th><th>last change</th></tr></thead>
              <tbody>
                {readable.map(({ name, kind, schema_version }) => {
                  const known = facts.data?.get(name);
                  const pending = pendingOf(plans.data?.find((plan) => plan.collection === name));
                  return (
                    <tr key={name}>
                      <td><a href={href(listAddress({ workspace: null, collection: name }))}><bdi>{visible(name)}</bdi></a></td>
                      <td class="right">{known?.total === undefined ? "" : grouped(known.total)}</td>
                      <td class="right"><a href={href(`/types/${name}`)}>{schema_version}</a>{pending > 0 && <span class="bad" title="Records with an older schema version"> {grouped(pending)} older</span>}</td>
                      <td class="wide-only faint" title={KINDS[kind]}>{kind}</td>
                      <td>{known?.last ? <Time at={known.last.at} /> : facts.data && <span class="faint">never</span>}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>}
          {latest.data && latest.data.items.length > 0 && <Writes live={live} />}
        </div>
        <div>
          <h2><a href={href("/changes")}>Latest changes</a></h2>
          {!latest.data ? <Pending loaded={latest} /> : changes.length ? <ChangeList changes={changes.slice(0, 25)} brief /> : <p class="faint">Nothing was changed yet.</p>}
        </div>
      </div>
    </section>
  );
}

function pendingOf(plan: MigrationPlan | undefined): number {
  return Object.entries(plan?.records ?? {})
    .filter(([version]) => Number(version) !== plan?.current_version)
    .reduce((sum, [, number]) => sum + Number(number), 0);
}
