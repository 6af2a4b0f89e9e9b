// The console's pages about faces in a real browser. Started by tests/it/browser.rs:
//
//     node tests/browser/faces.mjs SCENARIO LINK
//
// Scenarios: `film` watches the demo's film, in which somebody known and somebody unknown pass, and
// gives the unknown one a name; `people` enrols, splits and merges people, and `rules` makes a rule
// whose receivers are at the two addresses that follow: nobody at the first. These two ask, in lines
// on standard output, for what happens outside of the browser.

import { expect, playsFor, run, showsNoTrouble, until } from "./support.mjs";

/** Whom the demo enrols, and what its stranger is called from now on. */
const KNOWN = "enrolled";
const NAME = "Anna Example";
/** The collection that the page suggests. */
const COLLECTION = "people";

await run({ film, people, rules });

async function film(page) {
  await boxesAndFindings(page);
  await alertWithClip(page);
  await strangerGetsName(page);
  await processorStopsAndStarts(page);
  await showsNoTrouble(page);
}

/** A box with a name lies over the face, within the picture, and findings go on coming. */
async function boxesAndFindings(page) {
  await playsFor(page, 1);
  await until("a box names the known person", async () => {
    if ((await texts(page, ".box.known span")).some((text) => text.startsWith(KNOWN))) return true;
    // A busy machine finds faces later than it plays them: then one looks back.
    if ((await texts(page, ".tail li"))[0]?.includes(KNOWN)) await lookBack(page);
    return false;
  });
  const inside = await page.evaluate(() => {
    const box = document.querySelector(".box.known")?.getBoundingClientRect();
    const video = document.querySelector("video").getBoundingClientRect();
    // It goes with the face: nothing to measure when that just left.
    if (!box) return true;
    return box.width > 20 && box.bottom > video.top && box.top < video.bottom;
  });
  expect(inside, "the box is not over the picture");
  const before = await texts(page, ".tail li");
  await until("the findings go on", async () => {
    const now = await texts(page, ".tail li");
    return now.length > 0 && !before.includes(now[0]);
  });
}

/** Stops the picture, or what is stopped already a second earlier. */
function lookBack(page) {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    if (video.paused) video.currentTime = Math.max(video.currentTime - 1, video.buffered.start(0));
    video.pause();
  });
}

/** The stranger's alert has a picture, and a clip that plays. */
async function alertWithClip(page) {
  await page.getByRole("link", { name: "Alerts", exact: true }).click();
  const alert = page.getByRole("list", { name: "Alerts, newest first" }).getByRole("link").first();
  await alert.waitFor();
  // An alert that stays chosen while newer ones come.
  await alert.click();
  await until("the alert shows the face", () =>
    page.evaluate(() => (document.querySelector(".details img.crop")?.naturalWidth ?? 0) > 0),
  );
  expect(await page.getByRole("heading", { name: "Unknown face" }).isVisible(), "no heading");
  await playsFor(page, 1);
}

async function strangerGetsName(page) {
  await page.getByRole("link", { name: "Say who it is" }).click();
  // By keyboard alone.
  await page.getByLabel("Name", { exact: true }).fill(NAME);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: NAME }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: NAME }).waitFor();
  await page.getByRole("link", { name: "People" }).first().click();
  const known = page.getByRole("region", { name: "Known", exact: true });
  await known.getByRole("link", { name: NAME }).waitFor();
  await page.getByRole("link", { name: "Streams" }).click();
  await until("the next findings have the name", async () =>
    (await texts(page, ".tail li")).some((text) => text.includes(NAME)),
  );
}

async function processorStopsAndStarts(page) {
  await page.getByRole("link", { name: "Processors" }).click();
  await page.getByRole("button", { name: "Stop demo" }).click();
  await page.locator('.processors [data-status="STOPPED"]').waitFor();
  await page.getByRole("button", { name: "Start demo" }).click();
  await page.locator('.processors [data-status="RUNNING"]').waitFor();
}

async function people(page, portrait) {
  await page.getByRole("link", { name: "People" }).click();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByText("Nobody has a name yet").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Eileen");
  await page.getByLabel("Picture", { exact: true }).setInputFiles(portrait);
  await page.getByRole("button", { name: "Enrol" }).click();
  await page.getByRole("heading", { name: "Eileen" }).waitFor();
  await page.getByText("1 enrolled face", { exact: false }).waitFor();
  await page.getByLabel("Picture", { exact: true }).setInputFiles(portrait);
  await page.getByRole("button", { name: "Add picture" }).click();
  await page.getByText("2 enrolled faces").waitFor();

  console.log("somebody is seen twice");
  await page.getByRole("link", { name: "People" }).first().click();
  const unknown = page.getByRole("region", { name: "Unknown", exact: true });
  await unknown.getByText("seen 2 times").click();
  const sightings = page.getByRole("region", { name: "Sightings" }).getByRole("listitem");
  await countIs(sightings, 2);
  const first = page.url();

  await sightings.first().getByRole("link", { name: "Where else?" }).click();
  const found = page.getByRole("region", { name: "Where else" });
  await countIs(found.getByRole("listitem"), 1);
  await found.getByRole("link", { name: "Back to" }).click();

  await sightings.first().getByLabel("Choose").check();
  await page.getByRole("button", { name: "1 sighting of somebody else" }).click();
  await until("another person is shown", async () => page.url() !== first);
  await countIs(sightings, 1);

  const others = page.getByLabel("The same person as");
  const label = await others.locator("option", { hasText: "Unknown" }).first().textContent();
  await others.selectOption({ label });
  await page.getByRole("button", { name: "Merge" }).click();
  await until("the first person is shown", async () => page.url() === first);
  await countIs(sightings, 2);

  const denied = () => sightings.first().getByRole("button", { name: "Not this person" }).click();
  await denied();
  await countIs(sightings, 1);
  await denied();
  await until("whoever it is instead is shown", async () => page.url() !== first);
  await page.getByRole("heading", { name: "Unknown" }).waitFor();

  page.once("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("region", { name: "Known", exact: true }).waitFor();
  expect(page.url().endsWith(`#/~people/${COLLECTION}`), `it stays at ${page.url()}`);
  await showsNoTrouble(page);
}

async function rules(page, nobody, receiver) {
  await page.getByRole("link", { name: "Alerts" }).click();
  await page.getByRole("link", { name: "See the rules" }).click();
  await page.getByText("No rules yet").waitFor();
  await page.getByRole("button", { name: "New rule" }).click();
  await page.getByLabel("Name").fill("door");
  await page.getByLabel("Tell of").selectOption("an unknown face");
  await page.getByRole("button", { name: "Add a webhook" }).click();
  await page.getByLabel("Attempts").fill("1");
  await page.getByLabel("URL").fill(nobody);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("an unknown face on any stream").waitFor();

  console.log("a stranger passes");
  await page.getByText("1 alert could not be delivered").click();
  await page.getByText("Unknown face on front").waitFor();
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("URL").fill(receiver);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(receiver).waitFor();
  // The alerter hears of the new address a moment later; until then an attempt is in vain again.
  const again = page.getByRole("button", { name: "Try again" });
  await until("nothing is undelivered", async () => {
    if ((await page.locator(".undelivered").count()) === 0) return true;
    if (await again.isVisible()) await again.click();
    return false;
  });

  await page.getByRole("switch", { name: "door is on" }).click();
  await page.reload();
  const off = page.getByRole("switch", { name: "door is on", checked: false });
  await off.waitFor();
  page.once("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByText("No rules yet").waitFor();
  await showsNoTrouble(page);
}

/** What is written in all elements, now. */
function texts(page, selector) {
  return page.locator(selector).allTextContents();
}

async function countIs(locator, count) {
  await until(`there are ${count}`, async () => (await locator.count()) === count);
}
