// The console in a real browser. Started by tests/it/browser.rs:
//
//     node tests/browser/live.mjs SCENARIO LINK
//
// Scenarios: `demo` watches the live picture and then the archive; `camera` holds that the test
// picture goes on, by the clock in it; `pause` asks, in lines on
// standard output, for the camera to be stopped and started again, and expects playing to go on.
// With SCREENSHOT=FILE.png the last sight of the live picture is kept there.

import { expect, playsFor, run, showsNoTrouble, until } from "./support.mjs";

/** Where the test picture shows the time of day and its running time; shares of its size. */
const CLOCK = { left: 0, top: 0, right: 0.55, bottom: 0.17 };
const RUNNING_TIME = { left: 0.65, top: 0.8, right: 1, bottom: 1 };
/** A brightness step that is neither noise nor the encoder's work. */
const VISIBLE_STEP = 40;
/** A person who walks through changes more pixels than this, at 1280 x 720. */
const WALKER_PIXELS = 20_000;
/** A changed digit has more changed pixels than this, at 640 x 360. */
const CHANGED_PIXELS = 20;

await run({ demo, camera, pause });

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
