import { existsSync } from "node:fs";

/** Where Chromium or Chrome usually is: Debian and others, macOS, Windows. */
const usual = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** The browser to test in: `CHROMIUM_PATH`, else one in a usual place. None where that is empty or there is none. */
export const chromium: string | undefined =
  (process.env["CHROMIUM_PATH"] ?? usual.find((path) => existsSync(path))) || undefined;
