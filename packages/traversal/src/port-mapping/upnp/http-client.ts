/** One HTTP request to a literal IPv4 address. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Most bytes of the body that are read. */
  readonly maxBytes: number;
  /** Ends the connection. */
  readonly signal: AbortSignal;
}

/** What came back. */
export interface HttpAnswer {
  readonly status: number;
  /** At most `maxBytes`. */
  readonly body: Uint8Array;
  /** Whether the body had more. */
  readonly isCut: boolean;
  /** Our own address of the connection. */
  readonly localHost: string;
}

/** Makes HTTP requests. It follows no redirect, uses no proxy, and rejects with the signal's reason when that ends. */
export interface HttpClient {
  /** Makes one. @throws {PortMappingError} `transport` */
  request(request: HttpRequest): Promise<HttpAnswer>;
}
