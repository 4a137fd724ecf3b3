/** The server's application: what every request passes through, in this order, and all routes. */

import { OpenAPIHono } from "@hono/zod-openapi";
import { accessLog } from "./access-log.ts";
import { Admission } from "./admission.ts";
import { authentication } from "./auth.ts";
import { jsonBody } from "./body.ts";
import type { Bindings, Env } from "./env.ts";
import { notReady } from "./errors.ts";
import { answerFailure, onlyErrors } from "./failure.ts";
import { addGenerationRoutes } from "./generate/index.ts";
import { answerHeaders } from "./headers.ts";
import { hostGuard, originGuard } from "./guard.ts";
import { createLog, type Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { requestId } from "./request-id.ts";
import { addAboutRoutes, addOpenApi } from "./routes/about.ts";
import { addEmbeddingsRoute } from "./routes/embeddings.ts";
import { addHealthRoutes, type ServerState } from "./routes/health.ts";
import { addModelRoutes } from "./routes/models.ts";
import { addTokenRoutes } from "./routes/tokenize.ts";
import { answerUnrouted, routedPath, routeTable } from "./routing.ts";
import type { Services } from "./services.ts";
import type { ServerSettings } from "./settings.ts";
import { refuseInvalid } from "./validation.ts";

export interface App {
  /** Answers one request; it never throws. */
  fetch(request: Request, bindings?: Bindings): Response | Promise<Response>;
  /** Who is being answered, and the way to end that. */
  readonly admission: Admission;
  /** Methods by route template. */
  readonly routes: ReadonlyMap<string, ReadonlySet<string>>;
}

/** What a frame needs beside its settings. */
interface Surroundings {
  readonly clock: () => number;
  readonly randomId: () => string;
  readonly log: Log;
}

/** The application that answers for a model. */
export function createApp(
  services: Services,
  settings: ServerSettings,
  log: Log = createLog(),
): App {
  const admission = new Admission(settings);
  const metrics = new Metrics(services.engine, services.clock, () => admission.choices);
  const app = createFrame(settings, metrics, { ...services, log });
  const state = (): ServerState => {
    if (services.isUp?.() === false) return "down";
    return admission.isDraining ? "draining" : "ready";
  };
  addHealthRoutes(app, state);
  addAboutRoutes(app, settings.version, metrics);
  addModelRoutes(app, services.model, services.engine.contextTokens);
  addTokenRoutes(app, services, admission);
  addEmbeddingsRoute(app);
  addGenerationRoutes(app, services, { admission, metrics, settings });
  addOpenApi(app, settings.version);
  answerUnrouted(app);
  return finished(app, admission);
}

/** What answers while the model is loading: probes learn that it is, everyone else is put off. */
export function createWaitingApp(
  settings: ServerSettings,
  { clock, randomId, log }: Surroundings,
): App {
  const admission = new Admission(settings);
  const metrics = new Metrics(undefined, clock, () => 0);
  const app = createFrame(settings, metrics, { clock, randomId, log });
  addHealthRoutes(app, () => "loading");
  addAboutRoutes(app, settings.version, metrics);
  app.notFound(() => {
    throw notReady("The model is loading. Try again in a moment.");
  });
  return finished(app, admission);
}

/** An application without routes. A middleware sees a request before those after it. */
function createFrame(
  settings: ServerSettings,
  metrics: Metrics,
  { clock, randomId, log }: Surroundings,
): OpenAPIHono<Env> {
  const app = new OpenAPIHono<Env>({ defaultHook: refuseInvalid, getPath: routedPath });
  app.use(answerHeaders());
  app.use(requestId(randomId));
  app.use(accessLog(log, metrics, clock));
  app.use(onlyErrors());
  app.use(hostGuard(settings));
  app.use(originGuard());
  app.use(authentication(settings.keyHashes));
  app.use(jsonBody(settings));
  app.onError(answerFailure);
  return app;
}

function finished(app: OpenAPIHono<Env>, admission: Admission): App {
  return {
    fetch: (request, bindings) => app.fetch(request, bindings ?? {}),
    admission,
    routes: routeTable(app),
  };
}
