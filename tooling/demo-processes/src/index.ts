/** What the demos share: their processes, and how those tell each other about themselves. */
export { type Contact, fromContact, fromEnvironment, toContact } from "./contact.ts";
export { DemoProcess } from "./demo-process.ts";
export { type FailedMessage, is, type MessageOf, onCommand, runProcess, tell } from "./message.ts";
