// How far the reader has got in each channel. Owned by the connection: every message and gap
// passes through here, and every link asks here for its cursor. Pure.
//
// Keyed by the channel hash that ids carry, so the segments of a cursor need no names.

import { tryTo } from "./try-to.js";

/** A word that means `latest`, and sorts behind it: for a channel that need not be waited for. */
const REFUSED = "latest.";

/** The part of an id that tells the channel: the version and 60 of the hash's 64 bits. */
const keyOf = (id: string): string => id.slice(0, 11);
/** A cursor's ids; its words are shorter than a key. */
const idsOf = (cursor: string): string[] => cursor.split(".").filter((part) => part.length > 11);

/** Base64url as bytes in a string. */
export function decode(text: string): string {
  return atob(text.replace(/-/g, "+").replace(/_/g, "/"));
}

/** An id's epoch, nothing where the id is none or of an unknown version, and its offset. */
function place(id: string): [epoch: string | false, offset: number] {
  let offset = 0;
  const bytes = tryTo(() => decode(id.slice(1))) ?? "";
  for (let n = bytes.length; n-- > 12; ) offset = offset * 128 + (bytes.charCodeAt(n) & 127);
  return [id[0] === "1" && bytes.slice(8, 12), offset];
}

/** Whether a reader at `mark` has had `id`. */
function covers(mark: string, id: string): boolean {
  const [epoch, offset] = place(mark);
  const [other, otherOffset] = place(id);
  if (!epoch || !other) return mark === id;
  return epoch === other && epoch !== "\0\0\0\0" && otherOffset <= offset;
}

export interface Positions {
  /** A channel is wanted from here on; an id as `since` is a position at once. */
  want(channel: string, since: string): void;
  unwant(channel: string): void;
  /**
   * Which of the channels one stream can start with: a cursor holds one word for all that have
   * no position, so those that start at the earliest come second.
   */
  together(channels: readonly string[]): readonly string[];
  /** What to resume these channels from. */
  cursor(channels: readonly string[]): string;
  /**
   * Takes where a link begins. A mark of ours stays: if the server cannot go on from it, the gap
   * that follows says so and moves it. With `all`, the link has all channels, and what neither it
   * nor a message of them named no longer counts.
   */
  begin(channels: readonly string[], cursor: string, all?: boolean): void;
  /**
   * Moves on to a message, or to where a gap ends. Returns whether that is news: what is at or
   * before a mark has been had, unless it is `certain` that the server goes on from there.
   */
  pass(id: string, channel?: string, certain?: boolean): boolean;
  /** The server refused the channel, so the next link starts it anew. */
  refuse(channel: string): void;
}

export function createPositions(): Positions {
  const marks = new Map<string, string>();
  /** The key of each channel that something was heard of. */
  const keys = new Map<string, string>();
  /** Where channels start that no link has covered yet. */
  const fresh = new Map<string, string>();

  const pass = (id: string, channel?: string, certain?: boolean): boolean => {
    const key = keyOf(id);
    const mark = marks.get(key);
    if (mark && !certain && covers(mark, id)) return false;
    if (channel) {
      fresh.delete(channel);
      keys.set(channel, key);
    }
    marks.set(key, id);
    return true;
  };

  return {
    want(channel, since) {
      if (idsOf(since)[0]) pass(since, channel);
      else fresh.set(channel, since);
    },
    unwant(channel) {
      marks.delete(keys.get(channel)!);
      keys.delete(channel);
      fresh.delete(channel);
    },
    together(channels) {
      const late = channels.filter((channel) => fresh.get(channel) !== "earliest");
      return late.some((channel) => fresh.get(channel) === "latest") ? late : channels;
    },
    cursor(channels) {
      // In this order: what was refused goes with the others.
      const words = channels.flatMap((channel) => fresh.get(channel) ?? []).sort();
      const known = channels.flatMap((channel) => marks.get(keys.get(channel)!) ?? []);
      // A channel that nothing was heard of since it began has a mark, but its key is not known.
      const ids = words.length + known.length < channels.length ? marks.values() : known;
      return [...words.slice(0, 1), ...ids].join(".");
    },
    begin(channels, cursor, all) {
      const ids = idsOf(cursor);
      for (const channel of channels) fresh.delete(channel);
      for (const id of ids) {
        if (!channels[1]) keys.set(channels[0]!, keyOf(id));
        if (!marks.has(keyOf(id))) marks.set(keyOf(id), id);
      }
      if (!all) return;
      const named = [...ids.map(keyOf), ...keys.values()];
      for (const key of marks.keys()) if (!named.includes(key)) marks.delete(key);
    },
    pass,
    refuse(channel) {
      if (!keys.has(channel)) fresh.set(channel, REFUSED);
    },
  };
}
