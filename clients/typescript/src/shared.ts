// One connection for all tabs of an origin. One tab leads: it holds a Web Lock and runs the client
// that is connected, the hub. Every tab, the leading one too, has a client of its own whose
// transport is a BroadcastChannel to the hub. When the leader goes, its lock passes on, and the
// others go on from their cursors with the new hub.
//
// A tab that attaches is behind, or has no position: once the hub is live on its channels, it
// catches up with polls until they meet what the hub has said meanwhile, and then takes that. What
// comes both ways counts once, as always.

import { bellwire } from "./client.js";
import type { Attempt, Envelope, Link, Open, Platform, Sink } from "./transports/link.js";
import { type Answer, sayAll } from "./transports/poll.js";
import { runLink } from "./transports/request.js";
import type { Channel, Live, Options } from "./types.js";

export interface SharedOptions extends Options {
  /**
   * Tabs share a connection within a group. Tabs of different users need different ones.
   * @defaultValue the server's address
   */
  group?: string;
}

/** How often a tab's link shows that it lives, in ms; whether it does is known by locks. */
const PULSE = 5_000;

/** What tabs and the hub say to each other. */
type Note =
  | { tab: string; attach: readonly string[] }
  | { tab: string; gone: true }
  | { attached: string }
  | { again: string }
  | { stop: string }
  | Said;
type Said = { word: "message" | "gap" | "denied"; channel: string; payload: unknown };

/**
 * Makes a client that shares one connection with the other tabs of this origin. Where the platform
 * has no Web Locks (they need HTTPS, or localhost), it is a client of its own.
 */
export function shared(url: string | URL, { group = `${url}`, ...options }: SharedOptions = {}): Live {
  const locks = globalThis.navigator?.locks;
  if (!locks || !globalThis.BroadcastChannel) return bellwire(url, options);
  const name = `bellwire:${group}`;
  const ending = new AbortController();
  const live = bellwire(url, { ...options, transports: ["sse"], via: { sse: openTab(name, locks) } });
  const lead = (): Promise<void> => runHub(name, locks, url, { ...options, signal: ending.signal });
  locks.request(name, { signal: ending.signal }, lead).catch(() => {});
  const close = (): void => {
    live.close();
    ending.abort();
  };
  if (options.signal?.aborted) close();
  options.signal?.addEventListener("abort", close);
  return Object.create(live, { close: { value: close } }) as Live;
}

/** Leads until the signal aborts, or the page is gone. */
async function runHub(name: string, locks: LockManager, url: string | URL, options: Options): Promise<void> {
  const wire = new BroadcastChannel(name);
  const live = bellwire(url, options);
  const tell = (note: Note): void => wire.postMessage(note);
  const tabs = new Map<string, readonly string[]>();
  const attaching = new Set<string>();
  /** What stops each channel, and those that are live or refused. */
  const stops = new Map<string, () => void>();
  const settled = new Set<string>();

  const follow = (channel: string): void => {
    const feed: Channel = live.channel(channel);
    const settle = (): void => {
      settled.add(channel);
      answer();
    };
    const offs = [
      feed.on("open", settle),
      // Whether a tab has lost something too is its own to find.
      feed.on("*", (_, { gap: _gap, ...payload }) => tell({ word: "message", channel, payload })),
      feed.on("gap", (payload) => tell({ word: "gap", channel, payload })),
      feed.on("denied", (payload) => {
        tell({ word: "denied", channel, payload });
        settle();
      }),
    ];
    stops.set(channel, () => offs.forEach((off) => off()));
  };
  const answer = (): void => {
    for (const tab of attaching) {
      if (tabs.get(tab)?.every((channel) => settled.has(channel)) === false) continue;
      attaching.delete(tab);
      tell({ attached: tab });
    }
  };
  const review = (): void => {
    const wanted = new Set([...tabs.values()].flat());
    for (const channel of wanted) if (!stops.has(channel)) follow(channel);
    for (const [channel, stop] of stops) {
      if (wanted.has(channel)) continue;
      stop();
      stops.delete(channel);
      settled.delete(channel);
    }
    answer();
  };
  const leave = (tab: string): void => {
    if (tabs.delete(tab)) review();
  };
  wire.onmessage = ({ data: note }: MessageEvent<Note>) => {
    if (!("tab" in note)) return;
    if ("gone" in note) return leave(note.tab);
    // A tab holds its lock while it is there; a crash gives it back.
    if (!tabs.has(note.tab)) void locks.request(`${name}:${note.tab}`, () => leave(note.tab));
    tabs.set(note.tab, note.attach);
    attaching.add(note.tab);
    review();
  };
  live.on("state", ({ current, reason }) => {
    if (current === "waiting") {
      settled.clear();
      tell({ again: reason });
    } else if (current === "stopped") {
      // Each tab asks for itself whether it is refused, too; who attaches later makes this one try again.
      for (const tab of tabs.keys()) attaching.delete(tab);
      tabs.clear();
      review();
      tell({ stop: reason });
    }
  });
  tell({ again: "another tab leads now" });
  await new Promise((resolve) => options.signal?.addEventListener("abort", resolve));
  wire.close();
  live.close();
}

/** The transport of a tab. */
function openTab(name: string, locks: LockManager): Open {
  return (platform: Platform, attempt: Attempt, sink: Sink): Link => {
    const wire = new BroadcastChannel(name);
    const tab = Math.random().toString(36).slice(2);
    const tell = (note: Note): void => wire.postMessage(note);
    const ending = new AbortController();
    let channels = attempt.channels;
    /** What the hub said while this tab is catching up. */
    let early: Said[] | undefined = [];
    let greeted = false;
    let catching: Link | undefined;

    const take = (note: Note): void => {
      if (!("word" in note) || !channels.includes(note.channel)) return;
      if (early) early.push(note);
      else sink.say(note.word, note.payload);
    };
    const catchUp = (): void => {
      catching?.close();
      early ??= [];
      /** What polls have brought. */
      const polled = new Set<string>();
      catching = runLink(platform, { ...attempt, channels }, sink, "poll", async (ask) => {
        // The first answer shows that this works, and may be empty before the log is read.
        for (let hold = 0; ; hold = 1) {
          const answer = (await (await ask({ timeout: `${hold}` })).json()) as Answer;
          sayAll(sink, answer, { channels });
          greeted = true;
          for (const { id } of answer.messages as Envelope[]) polled.add(id);
          const met = early?.filter(({ payload }) => polled.has((payload as Envelope).id)).map(({ channel }) => channel);
          const brought = [...answer.gaps, ...answer.messages] as Envelope[];
          // On a busy channel there is always more: from where both ways meet, the hub has it all.
          if (hold && brought.every(({ channel }) => met?.includes(channel))) break;
        }
        const notes = early ?? [];
        early = undefined;
        notes.forEach(take);
      });
    };
    wire.onmessage = ({ data: note }: MessageEvent<Note>) => {
      if ("attached" in note && note.attached === tab) catchUp();
      else if ("word" in note) take(note);
      else if ("again" in note) {
        if (greeted) sink.lost("ended", note.again);
        else tell({ tab, attach: channels });
      } else if ("stop" in note) sink.lost("stop", note.stop);
    };
    const hold = (): Promise<unknown> => {
      tell({ tab, attach: channels });
      return new Promise((resolve) => ending.signal.addEventListener("abort", resolve));
    };
    // It may have ended before it has the lock.
    locks.request(`${name}:${tab}`, { signal: ending.signal }, hold).catch(() => {});
    const pulse = setInterval(() => greeted && sink.life(), PULSE);

    return {
      close() {
        tell({ tab, gone: true });
        wire.close();
        catching?.close();
        clearInterval(pulse);
        ending.abort();
      },
      update(names) {
        channels = names;
        tell({ tab, attach: names });
      },
    };
  };
}
