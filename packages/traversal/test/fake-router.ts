import type { HttpAnswer, HttpClient, HttpRequest, SearchChannel, SearchChannels } from "../src/index.ts";
import type { VirtualTimers } from "./virtual-timers.ts";

const text = (body: string): Uint8Array => new TextEncoder().encode(body);

/** An entry in the table of a router. */
export interface RouterEntry {
  client: string;
  internalPort: number;
  lease: number;
}

/** A call that a router got. */
export interface RouterCall {
  readonly action: string;
  readonly service: string;
  readonly args: Readonly<Record<string, string>>;
}

/** A UPnP router at 192.168.1.1 in virtual time; everything that a test wants otherwise is a field. */
export class FakeRouter implements HttpClient, SearchChannels {
  address = "192.168.1.1";
  localHost = "192.168.1.10";
  external = "44.128.1.2";
  location = "http://192.168.1.1:5000/root.xml";
  services: readonly string[] = ["urn:schemas-upnp-org:service:WANIPConnection:2"];
  controlUrl = "/control";
  baseUrl = "";
  hasAddAny = true;
  status: Readonly<Record<string, string>> = {};
  /** When the search is answered, in milliseconds; undefined for never. */
  answerAfterMs: number | undefined = 50;
  /** The error that an action answers with, if any. */
  fault: (call: RouterCall) => number | undefined = () => undefined;
  /** Replaces the answer to a request. */
  override: (request: HttpRequest) => Partial<HttpAnswer> | "silence" | undefined = () => undefined;
  readonly table: Map<number, RouterEntry> = new Map();
  readonly requests: HttpRequest[] = [];
  readonly calls: RouterCall[] = [];
  readonly searches: string[] = [];
  openSockets = 0;
  readonly #timers: VirtualTimers;
  #received: Parameters<SearchChannels["open"]>[0] = () => {};
  #channel: SearchChannel | undefined;

  constructor(timers: VirtualTimers) {
    this.#timers = timers;
  }

  async open(received: Parameters<SearchChannels["open"]>[0]): Promise<readonly SearchChannel[]> {
    this.openSockets += 1;
    this.#received = received;
    let isClosed = false;
    this.#channel = {
      localHost: this.localHost,
      netmask: "255.255.255.0",
      send: (bytes) => {
        const search = new TextDecoder().decode(bytes);
        this.searches.push(search);
        const target = /^ST: (.*)$/m.exec(search)?.[1]?.trim() ?? "";
        if (this.answerAfterMs !== undefined) {
          this.#timers.after(this.answerAfterMs, () =>
            this.answerSearch(this.location, this.address, target),
          );
        }
      },
      close: () => {
        if (!isClosed) this.openSockets -= 1;
        isClosed = true;
      },
    };
    return [this.#channel];
  }

  /** Answers the search, maybe in the name of another host. */
  answerSearch(
    location: string,
    source: string,
    target = "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
  ): void {
    this.datagram(`HTTP/1.1 200 OK\r\nlocation: ${location}\r\nSt: ${target}\r\nUSN: uuid:1\r\n\r\n`, source);
  }

  /** Something on the search socket. */
  datagram(bytes: string, source: string): void {
    if (this.#channel !== undefined && this.openSockets > 0)
      this.#received(this.#channel, text(bytes), source);
  }

  request(request: HttpRequest): Promise<HttpAnswer> {
    this.requests.push(request);
    const replaced = this.override(request);
    return new Promise((resolve, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason), { once: true });
      if (replaced === "silence") return;
      const plain = { status: 200, body: text(this.#body(request)), isCut: false, localHost: this.localHost };
      const isFault = new TextDecoder().decode(plain.body).includes("UPnPError");
      const answer = { ...plain, ...(isFault ? { status: 500 } : {}), ...replaced };
      this.#timers.after(1, () => resolve(answer));
    });
  }

  #body(request: HttpRequest): string {
    if (request.path === "/root.xml") return this.#description();
    if (request.path === "/scpd.xml") {
      const action = this.hasAddAny ? "<action><name>AddAnyPortMapping</name></action>" : "";
      return `<scpd><actionList><action><name>AddPortMapping</name></action>${action}</actionList></scpd>`;
    }
    return this.#control(request);
  }

  #description(): string {
    const services = this.services
      .map(
        (type, index) =>
          `<service><serviceType>${type}</serviceType><controlURL>${this.controlUrl}${index === 0 ? "" : index}</controlURL>` +
          "<SCPDURL>scpd.xml</SCPDURL></service>",
      )
      .join("");
    const base = this.baseUrl === "" ? "" : `<URLBase>${this.baseUrl}</URLBase>`;
    return (
      `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">${base}<device><deviceType>root</deviceType>` +
      `<deviceList><device><deviceList><device><serviceList>${services}</serviceList></device></deviceList></device></deviceList>` +
      "</device></root>\n\0"
    );
  }

  #control(request: HttpRequest): string {
    const [, service = "", action = ""] = /^"(.*)#(.*)"$/.exec(request.headers["SOAPAction"] ?? "") ?? [];
    const args: Record<string, string> = {};
    for (const [, name = "", value = ""] of request.body.matchAll(/<(New\w+)>([^<]*)</g)) args[name] = value;
    const call = { action, service, args };
    this.calls.push(call);
    const code = this.fault(call) ?? this.#perform(call);
    if (typeof code === "number") {
      return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>' +
        `<detail><UPnPError><errorCode>${code}</errorCode><errorDescription>no</errorDescription></UPnPError></detail>` +
        "</s:Fault></s:Body></s:Envelope>"
      );
    }
    return (
      '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>' +
      `<m:${action}Response xmlns:m="${service}">${code}</m:${action}Response></SOAP-ENV:Body></SOAP-ENV:Envelope>`
    );
  }

  #perform({ action, service, args }: RouterCall): string | number {
    const port = Number(args["NewExternalPort"]);
    if (action === "GetExternalIPAddress")
      return `<NewExternalIPAddress>${this.external}</NewExternalIPAddress>`;
    if (action === "GetStatusInfo") {
      return `<NewConnectionStatus>${this.status[service] ?? "Connected"}</NewConnectionStatus>`;
    }
    if (action === "DeletePortMapping") return this.table.delete(port) ? "" : 714;
    if (action === "GetSpecificPortMappingEntry") {
      const entry = this.table.get(port);
      if (entry === undefined) return 714;
      return `<NewInternalPort>${entry.internalPort}</NewInternalPort><NewInternalClient>${entry.client}</NewInternalClient>`;
    }
    const client = args["NewInternalClient"] ?? "";
    const entry = {
      client,
      internalPort: Number(args["NewInternalPort"]),
      lease: Number(args["NewLeaseDuration"]),
    };
    let free = port;
    if (action === "AddAnyPortMapping") while (this.table.has(free)) free += 1;
    else if (action !== "AddPortMapping") return 401;
    if ((this.table.get(free)?.client ?? client) !== client) return 718;
    this.table.set(free, entry);
    return action === "AddPortMapping" ? "" : `<NewReservedPort>${free}</NewReservedPort>`;
  }
}
