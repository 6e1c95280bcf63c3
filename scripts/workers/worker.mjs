// A worker in JavaScript: node worker.mjs TYPE (node 18 or later). Up to 4 jobs at a time, each
// {"seconds": 2, "fail": "why"}; the first SIGTERM lets them end.
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

const server = process.env.TRIO_JOBS_SERVER ?? "http://127.0.0.1:8080";
const token = process.env.TRIO_JOBS_TOKEN;
const worker = `${hostname()}/${process.pid}`;
const types = [process.argv[2] ?? "demo"], slots = 4, lease = 10;
const running = new Map(); // id -> {job, stop, ended}
const leaving = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => leaving.abort());

/** The job itself: its output, or it throws. `signal` says when to stop. */
async function work(input, signal) {
  await sleep(1000 * (input.seconds ?? 0), undefined, { signal });
  if (input.fail) throw new Error(input.fail);
  return { by: `node ${process.version}` };
}

async function call(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(`${server}/worker/${path}`,
    { method: "POST", headers, signal, body: JSON.stringify({ worker, ...body }) });
  if (!reply.ok) throw new Error(`${reply.status}: ${await reply.text()}`);
  return reply.json();
}

async function run(job, stop) {
  const end = { id: job.id, lease_token: job.lease_token, outcome: "done" };
  try {
    end.output = await work(job.input ?? {}, stop.signal);
  } catch (error) {
    end.outcome = stop.signal.aborted ? "cancelled" : "fail";
    if (end.outcome === "fail")
      end.error = { type: error.name, message: error.message, traceback: error.stack };
  }
  for (let tries = 0; tries < 5; tries++) // the same end may be said twice
    try { return await call("settle", { jobs: [end] }); } catch { await sleep(1000); }
}

const beats = setInterval(async () => {
  const jobs = [...running.values()].map(({ job: { id, lease_token } }) => ({ id, lease_token }));
  const told = jobs.length ? await call("heartbeat", { jobs }).catch(() => ({ jobs: [] })) : { jobs };
  for (const { id, ok, cancel } of told.jobs) if (!ok || cancel) running.get(id)?.stop.abort();
}, (1000 * lease) / 5);

while (!leaving.signal.aborted) {
  while (running.size >= slots) await Promise.race([...running.values()].map((one) => one.ended));
  const wish = { types, max: slots - running.size, lease, wait: 20 };
  const told = await call("claim", wish, leaving.signal).catch(() => sleep(1000));
  for (const job of told?.jobs ?? []) {
    const stop = new AbortController();
    running.set(job.id, { job, stop, ended: run(job, stop).finally(() => running.delete(job.id)) });
  }
  if (told?.directive === "stop") leaving.abort();
}
await Promise.all([...running.values()].map((one) => one.ended));
clearInterval(beats);
