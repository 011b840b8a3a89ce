// Writes a minute: how many changes each minute of the last hour made, by the seals of the journal.
import { Problem, read } from "../api.ts";
import { count, grouped, now } from "../text.tsx";
import type { Change, Seal } from "../types.ts";
import { useLoad } from "../ui.tsx";

const MINUTE = 60_000;
const MINUTES = 60;
const PAGE = 1000;
const MOST_PAGES = 8;

interface Sealed {
  seals: Seal[];
  /** The time from which on these are all there are. */
  since: number;
}

/**
 * The seals of the last hour, or of less where there are very many. They are read backwards: a seal has 1 to 4,096
 * changes, so each page goes as far back as the seals of the one before let it.
 */
async function recentSeals(signal: AbortSignal): Promise<Sealed> {
  const start = Date.now() - MINUTES * MINUTE;
  const seals: Seal[] = [];
  let last = (await read<Seal>("/changes/head", [], signal)).seq;
  let changes = PAGE;
  for (let page = 0; page < MOST_PAGES && last > 0; page++) {
    const after = Math.max(0, last - changes);
    const { items } = await read<{ items: Seal[] }>("/changes/seals", [["after", String(after)], ["limit", String(PAGE)]], signal);
    const known = items.filter((seal) => seal.seq <= last);
    // More seals than a page has: the newest of them are missing.
    if (known.at(-1)?.seq !== last && changes > PAGE) {
      changes = PAGE;
      continue;
    }
    seals.unshift(...known);
    if (!known.length || Date.parse(known[0]!.at) < start) return { seals, since: start };
    last = known[0]!.first_seq - 1;
    if (known.length < PAGE / 10) changes *= 10;
  }
  return { seals, since: last > 0 ? Date.parse(seals[0]!.at) : start };
}

/** Changes by minute, the present one last. */
function byMinute({ seals, since }: Sealed, live: Change[], present: number): number[] {
  const end = Math.floor(present / MINUTE);
  // A minute that is known in part only is left out, unless it is the present one.
  const first = Math.min(end, Math.max(end - MINUTES + 1, Math.ceil(since / MINUTE)));
  const minutes = new Array<number>(Math.max(1, end - first + 1)).fill(0);
  const add = (at: string, number: number) => {
    const index = Math.min(end, Math.floor(Date.parse(at) / MINUTE)) - first;
    if (index >= 0) minutes[index]! += number;
  };
  const newest = seals.at(-1)?.seq ?? 0;
  for (const seal of seals) add(seal.at, seal.seq - seal.first_seq + 1);
  for (const change of live) if (change.seq > newest) add(change.at, 1);
  return minutes;
}

export function Writes({ live }: { live: Change[] }) {
  const loaded = useLoad((signal) => recentSeals(signal).catch((error: unknown) => {
    if (error instanceof Problem) return null;
    throw error;
  }), []);
  if (!loaded.data) return null;
  const minutes = byMinute(loaded.data, live, Math.max(now.value, Date.now()));
  const most = Math.max(...minutes);
  const total = minutes.reduce((sum, number) => sum + number, 0);
  const label = total
    ? `${count(total, "change")} in ${count(minutes.length, "minute")}, at most ${grouped(most)} in one`
    : "no change in the last hour";
  return (
    <section class="writes">
      <h2>Writes a minute</h2>
      <p class="faint">{label}</p>
      {total > 0 && (
        <>
          <svg role="img" aria-label={`Writes a minute: ${label}`} viewBox={`0 0 ${MINUTES * 10} 100`} preserveAspectRatio="none">
            {minutes.map((number, index) => {
              const height = number && Math.max(3, (number / most) * 100);
              return (
                <rect key={index} x={(MINUTES - minutes.length + index) * 10 + 1} y={100 - height} width={8} height={height}>
                  <title>{`${count(number, "change")}, ${minutes.length - 1 - index} min ago`}</title>
                </rect>
              );
            })}
          </svg>
          <p class="faint axis"><span>an hour ago</span><span>now</span></p>
        </>
      )}
    </section>
  );
}
