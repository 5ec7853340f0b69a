import { request as httpRequest } from "node:http";
import { PortMappingError } from "../port-mapping/port-mapping-error.ts";
import type { HttpAnswer, HttpClient, HttpRequest } from "../port-mapping/upnp/http-client.ts";

/** Most bytes of header lines that are read. */
const MAX_HEADER_BYTES = 16_384;

/** Requests by `node:http`, each on a connection of its own that ends with the request's signal. */
export const deviceHttp: HttpClient = {
  request: (request) => exchange(request),
};

function exchange(asked: HttpRequest): Promise<HttpAnswer> {
  const { method, host, port, path, headers, body, maxBytes, signal } = asked;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      if (signal.aborted) reject(signal.reason);
      else reject(new PortMappingError("transport", error.message, { cause: error }));
    };
    const request = httpRequest({
      method,
      host,
      port,
      path,
      signal,
      agent: false,
      family: 4,
      maxHeaderSize: MAX_HEADER_BYTES,
      headers: { ...headers, "Content-Length": new TextEncoder().encode(body).length, Connection: "close" },
    });
    request.on("error", fail);
    request.on("response", (response) => {
      const localHost = response.socket.localAddress ?? "";
      const chunks: Uint8Array[] = [];
      let length = 0;
      const finish = (isCut: boolean): void => {
        const joined = Buffer.concat(chunks, length).subarray(0, maxBytes);
        resolve({ status: response.statusCode ?? 0, body: joined, isCut, localHost });
      };
      response.on("data", (chunk: Uint8Array) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length <= maxBytes) return;
        finish(true);
        request.destroy();
      });
      response.on("end", () => finish(false));
      response.on("error", fail);
    });
    request.end(body);
  });
}
