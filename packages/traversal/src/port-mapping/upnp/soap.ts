import { childOf, textOf, type XmlElement } from "./xml-document.ts";

/** An argument of an action and its value. */
export type SoapArgument = readonly [name: string, value: string];

const ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/";
const ENCODING = "http://schemas.xmlsoap.org/soap/encoding/";

/** The body of a call; the order of arguments is part of the action. */
export function encodeSoapCall(serviceType: string, action: string, args: readonly SoapArgument[]): string {
  const inner = args.map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`).join("");
  return (
    '<?xml version="1.0"?>\r\n' +
    `<s:Envelope xmlns:s="${ENVELOPE}" s:encodingStyle="${ENCODING}"><s:Body>` +
    `<u:${action} xmlns:u="${escapeXml(serviceType)}">${inner}</u:${action}>` +
    "</s:Body></s:Envelope>\r\n"
  );
}

/** The element with what an action gave back; undefined when the document is something else. */
export function soapResult(root: XmlElement, action: string): XmlElement | undefined {
  return root.name === "Envelope" ? childOf(childOf(root, "Body"), `${action}Response`) : undefined;
}

/** The error that a document reports; undefined when it reports none. */
export function soapFault(root: XmlElement): { readonly code: number; readonly text: string } | undefined {
  const fault = root.name === "Envelope" ? childOf(childOf(root, "Body"), "Fault") : undefined;
  const error = childOf(childOf(fault, "detail"), "UPnPError");
  const code = textOf(error, "errorCode");
  return /^\d{1,4}$/.test(code) ? { code: Number(code), text: textOf(error, "errorDescription") } : undefined;
}

function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&apos;");
}
