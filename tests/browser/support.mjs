// What the browser scripts share: a real browser, patience, and what the page said when it is not as
// it should be.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const CHROMIUM = "/usr/bin/chromium";
/** For one thing to happen; generous, since the machine may be busy. */
const PATIENCE_MS = 45_000;
/** For everything. */
const DEADLINE_MS = 150_000;
const POLL_MS = 200;

/** Everything the page says, in order; printed when something is not as it should be. */
const said = [];
const errors = [];

/** Plays the scenario that the command line names, `SCENARIO LINK MORE…`, and ends the process. */
export async function run(scenarios) {
  setTimeout(() => {
    console.error(said.join("\n"));
    fail(`not done after ${DEADLINE_MS / 1000} s`);
  }, DEADLINE_MS).unref();
  try {
    await play(scenarios, process.argv.slice(2));
  } catch (error) {
    console.error(`The page said:\n${said.join("\n")}`);
    fail(error.stack ?? error);
  }
}

async function play(scenarios, [name, link, ...more]) {
  const scenario = scenarios[name];
  if (!scenario || !link) fail(`usage: SCRIPT ${Object.keys(scenarios).join("|")} LINK`);
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    listen(page);
    await page.goto(link);
    await scenario(page, ...more);
    expect(errors.length === 0, `the page reports errors: ${errors.join("; ")}`);
  } finally {
    await browser.close();
  }
}

async function launch() {
  const require = createRequire(new URL("../../web/package.json", import.meta.url));
  let playwright;
  try {
    playwright = require("playwright-core");
  } catch {
    fail("playwright-core is not installed: run `make setup web`");
  }
  if (!existsSync(CHROMIUM)) fail(`${CHROMIUM} is missing: run \`make setup\``);
  return playwright.chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

function listen(page) {
  page.on("console", (message) => {
    said.push(`${message.type()}: ${message.text()}`);
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => {
    said.push(`exception: ${error.stack ?? error}`);
    errors.push(String(error));
  });
  page.on("requestfailed", (request) => {
    const url = new URL(request.url());
    said.push(`request failed: ${url.pathname}: ${request.failure()?.errorText}`);
  });
}

/** Waits until the video has moved on by so many seconds, in the video's own time. */
export async function playsFor(page, seconds) {
  let begun;
  await until(`the video plays for ${seconds} s`, async () => {
    const time = await page.evaluate(() => {
      const video = document.querySelector("video");
      return video && !video.paused && video.videoWidth > 0 ? video.currentTime : null;
    });
    if (time === null) return false;
    // A new playback starts its own time.
    if (begun === undefined || time < begun) begun = time;
    return time - begun >= seconds;
  });
}

export async function showsNoTrouble(page) {
  for (const trouble of [".trouble", ".notice", ".problem"]) {
    const shown = await page.locator(trouble).allTextContents();
    expect(shown.length === 0, `the page says: ${shown.join(" ")}`);
  }
}

export async function until(what, check) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export function expect(holds, message) {
  if (!holds) throw new Error(message);
}

function fail(message) {
  console.error(`browser test: ${message}`);
  process.exit(1);
}
