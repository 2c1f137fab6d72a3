// Chromium for the client's tests.

import { chromium } from "playwright-core";

import { startChromium } from "../../../../tests/browser/programs.mjs";

/** Starts it; `noDefaults` leaves pages as they are for a person. */
export async function openBrowser(t, flags) {
  return chromium.connectOverCDP(await startChromium(t, flags), { noDefaults: true });
}
