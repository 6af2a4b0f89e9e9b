// The console in a real browser. Started by tests/it/browser.rs:
//
//     node tests/browser/live.mjs SCENARIO LINK
//
// Scenarios: `demo` watches the live picture and then the archive; `camera` holds that the test
// picture goes on, by the clock in it; `pause` asks, in lines on
// standard output, for the camera to be stopped and started again, and expects playing to go on.
// With SCREENSHOT=FILE.png the last sight of the live picture is kept there.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const CHROMIUM = "/usr/bin/chromium";
/** For one thing to happen; generous, since the machine may be busy. */
const PATIENCE_MS = 45_000;
/** For everything. */
const DEADLINE_MS = 150_000;
const POLL_MS = 200;

/** Where the test picture shows the time of day and its running time; shares of its size. */
const CLOCK = { left: 0, top: 0, right: 0.55, bottom: 0.17 };
const RUNNING_TIME = { left: 0.65, top: 0.8, right: 1, bottom: 1 };
/** A brightness step that is neither noise nor the encoder's work. */
const VISIBLE_STEP = 40;
/** A person who walks through changes more pixels than this, at 1280 x 720. */
const WALKER_PIXELS = 20_000;
/** A changed digit has more changed pixels than this, at 640 x 360. */
const CHANGED_PIXELS = 20;

const scenarios = { demo, camera, pause };

/** Everything the page says, in order; printed when something is not as it should be. */
const said = [];
const errors = [];

async function main([name, link]) {
  const scenario = scenarios[name];
  if (!scenario || !link) fail(`usage: live.mjs ${Object.keys(scenarios).join("|")} LINK`);
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    listen(page);
    await page.goto(link);
    await scenario(page);
    expect(errors.length === 0, `the page reports errors: ${errors.join("; ")}`);
  } finally {
    await browser.close();
  }
}

/** What a newcomer does: opens the link, watches, looks at the archive. */
async function demo(page) {
  await playsFor(page, 3);
  expect(!page.url().includes("token"), `the token stays in the address bar: ${page.url()}`);
  await showsNoTrouble(page);
  expect((await page.locator(".badge").textContent()) === "Live", "the picture is not marked live");
  expect((await page.locator(".dot.on-air").count()) === 1, "the list does not show it live");
  const before = await picture(page);
  await until("somebody walks through the picture", async () => {
    const { clock, rest } = changes(before, await picture(page));
    return clock + rest > WALKER_PIXELS;
  });
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });

  await page.getByRole("link", { name: "Archive" }).click();
  await page.getByRole("button", { name: "Last minute" }).click();
  await playsFor(page, 2);
  await showsNoTrouble(page);
  expect((await page.locator(".badge").textContent()) === "Archive", "it is not the archive");
}

/** A camera whose picture has a clock and a ball in it. */
async function camera(page) {
  await playsFor(page, 2);
  const pictures = [await picture(page)];
  for (let i = 0; i < 2; i += 1) {
    await page.waitForTimeout(1_200);
    const next = await picture(page);
    const before = pictures.at(-1);
    const seen = changes(before, next);
    expect(seen.clock > CHANGED_PIXELS, `the clock in the picture stands: ${JSON.stringify(seen)}`);
    expect(seen.rest > CHANGED_PIXELS, `nothing moves beside it: ${JSON.stringify(seen)}`);
    pictures.push(next);
  }
}

/** A camera that pauses for longer than the player's patience. */
async function pause(page) {
  await playsFor(page, 2);
  console.log("stop the camera");
  await until("the page says that the camera stopped", () =>
    page.getByText("The camera has stopped sending").isVisible(),
  );
  console.log("start the camera");
  await until("the notice goes", async () => (await page.locator(".notice").count()) === 0);
  await playsFor(page, 3);
  await showsNoTrouble(page);
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
async function playsFor(page, seconds) {
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

/** The picture on screen: its size, and the brightness of each pixel. */
function picture(page) {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    const [width, height] = [video.videoWidth, video.videoHeight];
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const pixels = [];
    // Green stands for brightness.
    for (let i = 1; i < data.length; i += 4) pixels.push(data[i]);
    return { width, height, pixels };
  });
}

/** How many pixels changed visibly in the clock, and outside of all that is written. */
function changes(before, after) {
  const { width, height } = after;
  const seen = { clock: 0, rest: 0 };
  after.pixels.forEach((pixel, i) => {
    if (Math.abs(pixel - before.pixels[i]) < VISIBLE_STEP) return;
    const x = (i % width) / width;
    const y = Math.floor(i / width) / height;
    if (inside(CLOCK, x, y)) seen.clock += 1;
    else if (!inside(RUNNING_TIME, x, y)) seen.rest += 1;
  });
  return seen;
}

function inside({ left, top, right, bottom }, x, y) {
  return left <= x && x < right && top <= y && y < bottom;
}

async function showsNoTrouble(page) {
  for (const trouble of [".trouble", ".notice", ".problem"]) {
    const shown = await page.locator(trouble).allTextContents();
    expect(shown.length === 0, `the page says: ${shown.join(" ")}`);
  }
}

async function until(what, check) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function expect(holds, message) {
  if (!holds) throw new Error(message);
}

function fail(message) {
  console.error(`browser test: ${message}`);
  process.exit(1);
}

setTimeout(() => {
  console.error(said.join("\n"));
  fail(`not done after ${DEADLINE_MS / 1000} s`);
}, DEADLINE_MS).unref();

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`The page said:\n${said.join("\n")}`);
  fail(error.stack ?? error);
}
