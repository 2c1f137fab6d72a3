// Hooks for React 18 and later. They share the client that they are given, so components mount and
// unmount, twice under StrictMode, without a new connection; on the server they render nothing live.

import { useCallback, useMemo, useSyncExternalStore } from "react";

import type { AnyData, Channel, Denied, EventMap, Gap, Live, Message, State } from "./types.js";

export interface UseChannelOptions {
  /**
   * How many messages are kept, the newest last.
   * @defaultValue 100
   */
  keep?: number;
  /** Where the first subscription starts; see `ChannelOptions`. */
  since?: string;
}

export interface ChannelView<E extends EventMap> {
  readonly messages: readonly Message<AnyData<E>>[];
  /** The last thing that was lost, until the component is mounted anew. */
  readonly gap: Gap | undefined;
  readonly denied: Denied | undefined;
  readonly publish: Channel<E>["publish"];
}

type Kept<E extends EventMap> = Omit<ChannelView<E>, "publish">;

const NOTHING = { messages: [], gap: undefined, denied: undefined };

/** The client's state, kept up to date. */
export function useConnection(live: Live): State {
  const subscribe = useCallback((changed: () => void) => live.on("state", changed), [live]);
  const read = (): State => live.state;
  return useSyncExternalStore(subscribe, read, read);
}

/** A channel's newest messages since the component was mounted. */
export function useChannel<E extends EventMap = Record<string, unknown>>(
  live: Live,
  name: string,
  { keep = 100, since }: UseChannelOptions = {},
): ChannelView<E> {
  const [channel, subscribe, read] = useMemo(() => {
    const channel = live.channel<E>(name, since ? { since } : {});
    let kept: Kept<E> = NOTHING;
    const subscribe = (changed: () => void): (() => void) => {
      const take = (news: Partial<Kept<E>>): void => {
        kept = { ...kept, ...news };
        changed();
      };
      const offs = [
        channel.on("*", (_, message) => take({ messages: [...kept.messages, message].slice(-keep || Infinity) })),
        channel.on("gap", (gap) => take({ gap })),
        channel.on("denied", (denied) => take({ denied })),
      ];
      return () => offs.forEach((off) => off());
    };
    return [channel, subscribe, () => kept] as const;
  }, [live, name, keep, since]);
  const kept = useSyncExternalStore(subscribe, read, () => NOTHING as Kept<E>);
  return { ...kept, publish: channel.publish };
}
