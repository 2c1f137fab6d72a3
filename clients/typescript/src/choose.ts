// Which transport to use: the simplest that fits, of those that this network lets through. Used by
// the connection. The verdicts outlive the page, in this browser and for this server.

import { tryTo } from "./try-to.js";
import type { TransportName } from "./types.js";

/** How long a blocked transport is left alone at first and at most, in ms. */
const SHORTEST = 60_000;
const LONGEST = 1_800_000;

const LISTENING: readonly TransportName[] = ["sse", "ws", "poll"];
const TALKING: readonly TransportName[] = ["ws", "sse", "poll"];

type Verdicts = { [name in TransportName]?: [until: number, times: number] | undefined };

export interface Chooser {
  /** Whether the page publishes often, or bytes. */
  talking: boolean;
  /** All that may be used, by preference, with those that are blocked last. */
  ranked(): TransportName[];
  /** This network does not let it through: leave it alone for a while, longer each time. */
  block(name: TransportName): void;
  /** It works. Without a name: another network may let all of them through. */
  unblock(name?: TransportName): void;
  /** In how many ms a better one than this may be tried again; Infinity if it is the best. */
  again(name: TransportName): number;
}

/**
 * @param fixed the user's own order
 * @param supported whether the platform has it
 * @param key what to keep the verdicts under
 */
export function createChooser(
  fixed: readonly TransportName[] | undefined,
  supported: (name: TransportName) => boolean,
  key: string,
): Chooser {
  // Without a storage, or with a full or foreign one, nothing is remembered; such a page only tries
  // once more than others.
  let verdicts = tryTo(() => JSON.parse(localStorage.getItem(key)!) as Verdicts) ?? {};
  const save = (): void => tryTo(() => localStorage.setItem(key, JSON.stringify(verdicts)));

  /** A clock that was set back must not block for longer than a verdict can. */
  const left = (name: TransportName): number => {
    const ms = verdicts[name]?.[0]! - Date.now();
    return ms > 0 && ms <= LONGEST ? ms : 0;
  };
  const usable = (): TransportName[] => (fixed ?? (chooser.talking ? TALKING : LISTENING)).filter(supported);
  const chooser: Chooser = {
    talking: false,
    ranked: () => usable().sort((a, b) => left(a) - left(b)),
    block(name) {
      const times = verdicts[name]?.[1] ?? 0;
      verdicts[name] = [Date.now() + Math.min(LONGEST, SHORTEST * 2 ** times), times + 1];
      save();
    },
    unblock(name) {
      if (name) verdicts[name] = undefined;
      else verdicts = {};
      save();
    },
    again(name) {
      const all = usable();
      return Math.min(...all.slice(0, all.indexOf(name)).map(left));
    },
  };
  return chooser;
}
