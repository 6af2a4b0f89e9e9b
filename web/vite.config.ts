import { defineConfig } from "vite";

/** Where `npm run dev` finds the service; the built console is served by the service itself. */
const service = process.env.KINORA_URL ?? "http://127.0.0.1:5580";

export default defineConfig({
  // hls.js is one chunk of its own, fetched when something plays: it is most of the weight.
  build: { target: "es2022", chunkSizeWarningLimit: 700 },
  server: { proxy: { "/v1": service, "/hls": service } },
});
