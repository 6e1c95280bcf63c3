// The phases of harness.py, for peers on Node: same words, same lines of JSON.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { setTimeout: sleep } = require('node:timers/promises')

const [phase, ...words] = process.argv.slice(2)
const options = Object.fromEntries(words.map((word) => word.slice(2).split(/=(.*)/s)))
const jobs = Number(options.jobs)
const stamps = options.stamps && fs.openSync(options.stamps, 'a')
const CROWD = 64
const BATCH = 1000
const WARM_UP = 10

const now = () => Number(process.hrtime.bigint()) / 1e9 // CLOCK_MONOTONIC, as Python's
const meter = { count: 0, first: 0 }

function handled (n) {
  if (!meter.count++) meter.first = now()
  if (stamps) fs.writeSync(stamps, `${(now() - n).toFixed(6)}\n`)
}

function report (figures = {}) {
  fs.writeSync(1, JSON.stringify(figures) + '\n')
  process.exit(0)
}

function version (name) {
  const place = path.join(process.env.NODE_PATH, name, 'package.json')
  return JSON.parse(fs.readFileSync(place, 'utf8')).version
}

function memory () {
  const found = /VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))
  return Number(found[1]) / 1024
}

async function oneByOne (peer, count, stop) {
  for (let n = 0; n < count; n++) {
    if (now() > stop) return n
    await peer.one(n)
  }
  return count
}

async function batches (peer, stop) {
  let stored = 0
  while (stored < jobs && now() < stop) {
    const size = Math.min(BATCH, jobs - stored)
    await peer.many(Array.from({ length: size }, (_, n) => n))
    stored += size
  }
  return stored
}

const phases = {
  about: (peer) => {
    const versions = { node: process.versions.node }
    for (const name of peer.packages) versions[name] = version(name)
    report({ versions, settings: peer.settings })
  },
  create: async (peer) => { await peer.create?.() },
  enqueue: (peer, stop) => oneByOne(peer, jobs, stop),
  crowd: async (peer, stop) => {
    const each = Math.max(1, Math.floor(jobs / CROWD))
    const tasks = Array.from({ length: CROWD }, () => oneByOne(peer, each, stop))
    return (await Promise.all(tasks)).reduce((sum, stored) => sum + stored)
  },
  bulk: batches,
  fill: async (peer) => { await batches(peer, Infinity) },
  work: async (peer) => {
    console.log('ready')
    const stdin = readline.createInterface({ input: process.stdin })
    await new Promise((resolve) => stdin.once('line', resolve))
    const stop = now() + Number(options.seconds)
    let first = 0
    await peer.start(Number(options.concurrency))
    while (stamps) await sleep(1000)
    for (;;) {
      const before = meter.count
      await sleep(5)
      const late = now() > stop
      const asked = before === meter.count || meter.count >= jobs || late
      const left = asked ? await peer.left() : jobs
      if (left < jobs && !first) first = meter.first || now()
      if (left === 0 || late) {
        return report({ first, end: now(), left, handled: meter.count, rss_mb: memory() })
      }
    }
  },
  ping: async (peer, stop) => {
    const size = () => fs.statSync(options.stamps).size
    for (let n = 0; n < jobs; n++) {
      const before = size()
      await peer.one(now())
      while (size() === before) {
        if (now() > stop) return
        await sleep(1)
      }
      await sleep(Number(options.pause) * 1000)
    }
  }
}

async function main (peer) {
  process.on('unhandledRejection', (error) => { console.error(String(error)); process.exit(1) })
  await peer.open(options.dsn)
  if (['enqueue', 'crowd', 'bulk'].includes(phase)) {
    for (let n = 0; n < WARM_UP; n++) await peer.one(n)
  }
  const start = now()
  const stored = await phases[phase](peer, start + Number(options.seconds))
  report(typeof stored === 'number' ? { jobs: stored, seconds: now() - start } : {})
}

module.exports = { handled, main }
