// SPDX-License-Identifier: MIT
//
// Haraka's outbound queue through tollgate: each message takes a slot before it goes, leaves from the address whose
// slot it is, and what the receiver answered is reported. sidecar/doc/haraka.md is the manual.
//
//   send_email   picks the source and takes the next slot; the long part of the wait is the queue's own delay, which
//                counts as no failure and frees the place among those sent at once; its timers look once a second,
//                so a timer of ours waits for the rest
//   get_mx       binds each MX to that source
//   delivered, deferred, bounce   report
//
// What is kept of a message is in hmail.notes, in memory: after a restart it takes a slot anew.
'use strict'

const constants = require('haraka-constants')
const net_utils = require('haraka-net-utils')
const { Gate, CLASSES } = require('./gate')

const OWN_MS = 1100 // of a wait, what the queue's timers may be late, and a bit
const AGAIN_MS = 30_000 // the longest wait before what refuses is asked anew
const LEAST_MS = 50
const ABSENT_MS = 5000

exports.register = function () {
    const ini = this.config.get('tollgate.ini').main
    this.pool = ini.pool || null
    this.address = ini.source || null
    this.traffic = class_of(ini.class, CLASSES.indexOf('bulk'))
    this.open = (ini.absent || 'open') === 'open'
    this.ahead_ms = (ini.ahead ? Number(ini.ahead) : 300) * 1000
    if (!this.pool && !this.address) throw new Error('tollgate.ini: pool= or source= is needed')
    if (!['open', 'closed', undefined].includes(ini.absent)) throw new Error('tollgate.ini: absent is open or closed')
    if (!(this.ahead_ms >= 0)) throw new Error('tollgate.ini: ahead is a number of seconds')
    this.gate = new Gate(ini, (text) => this.logwarn(text))
    for (const hook of ['send_email', 'get_mx', 'delivered', 'deferred', 'bounce']) this.register_hook(hook, hook)
}

exports.shutdown = function () {
    this.gate.detach()
}

function class_of(name, otherwise) {
    const index = CLASSES.indexOf(name)
    return index < 0 ? otherwise : index
}

// ---- before it goes -------------------------------------------------------------------------------------------

exports.send_email = function (next, hmail) {
    try {
        if (this.gate.there()) this.take(next, hmail)
        else if (this.open) next()
        else next(constants.delay, String(ABSENT_MS / 1000))
    } catch (error) {
        this.logerror(`${hmail.todo.domain}: ${error.message}`)
        if (this.open) next()
        else next(constants.delay, String(ABSENT_MS / 1000))
    }
}

// A slot, unless one is held from before the queue's delay; then waits for it.
exports.take = function (next, hmail) {
    let mine = hmail.notes.tollgate
    if (!mine?.reservation) {
        const traffic = class_of(hmail.todo.notes?.tollgate_class, this.traffic)
        mine = { ...this.gate.flow(this.pool, this.address, hmail.todo.domain, traffic), traffic }
        mine.n = this.gate.count(mine.flow, traffic, hmail.todo.rcpt_to.length)
        const verdict = this.gate.reserve(mine.flow, traffic, mine.n, this.ahead_ms)
        hmail.notes.tollgate = mine
        if (verdict.reason !== 'admitted') return this.refused(next, hmail, verdict)
        mine.reservation = verdict.reservation
        mine.at_ns = verdict.at_ns
    }
    this.wait(next, hmail, this.gate.until_ms(mine.at_ns))
}

exports.wait = function (next, hmail, wait_ms) {
    if (wait_ms > OWN_MS + LEAST_MS) return next(constants.delay, String((wait_ms - OWN_MS) / 1000))
    if (wait_ms > 0) return setTimeout(() => this.go(next, hmail), Math.ceil(wait_ms))
    this.go(next, hmail)
}

// Its time has come: unless a hold has begun since, or a limit of that time refuses.
exports.go = function (next, hmail) {
    const mine = hmail.notes.tollgate
    try {
        const verdict = this.gate.redeem(mine.reservation)
        if (verdict.reason !== 'admitted') return this.refused(next, hmail, verdict)
    } catch (error) {
        this.logerror(`${hmail.todo.domain}: ${error.message}`)
    }
    mine.reservation = null
    next()
}

exports.refused = function (next, hmail, verdict) {
    const mine = hmail.notes.tollgate
    if (verdict.reason === 'retired') this.gate.renew()
    else if (this.pool && mine.reservation && verdict.wait_ms > AGAIN_MS / 10) return this.another(next, hmail)
    if (verdict.reason === 'retired' || verdict.reason === 'never') mine.reservation = null
    // A slot stays taken and is asked for again; without one, all is asked anew, and the pool may have another.
    const wait_ms = Math.min(Math.max(verdict.wait_ms, LEAST_MS), AGAIN_MS)
    this.logdebug(`${mine.source} to ${hmail.todo.domain}: ${verdict.reason}, asks again in ${wait_ms} ms`)
    next(constants.delay, String(wait_ms / 1000))
}

// A hold has begun since the slot was taken: the message does not wait for its end where the pool has another source.
exports.another = function (next, hmail) {
    this.gate.cancel(hmail.notes.tollgate.reservation)
    hmail.notes.tollgate = null
    this.send_email(next, hmail)
}

exports.get_mx = async function (next, hmail, domain) {
    const mine = hmail.notes.tollgate
    if (!mine) return next()
    let found
    try {
        found = await net_utils.get_mx(domain)
    } catch {
        return next() // Haraka asks itself, and says what it thinks of the answer
    }
    if (!found.length) return next()
    // Those of one priority in any order.
    const sorted = found.map((mx) => [Math.random(), mx]).sort((a, b) => a[1].priority - b[1].priority || a[0] - b[0])
    for (const [, mx] of sorted) mx.bind = mine.source
    next(constants.ok, sorted.map(([, mx]) => mx))
}

// ---- what came of it ------------------------------------------------------------------------------------------

exports.delivered = function (next, hmail, params) {
    this.report(hmail, [`250 ${params[2] || ''}`], 'message')
    next()
}

exports.deferred = function (next, hmail, params) {
    this.failed(hmail, params.err)
    next()
}

exports.bounce = function (next, hmail, error) {
    this.failed(hmail, error)
    next()
}

// "Upstream error: 451 4.7.650 …" of the whole message; replies to single recipients stand with them alone.
exports.failed = function (hmail, error) {
    const text = String(error?.message ?? error ?? '')
    const whole = /^(?:Upstream error: )?([245]\d\d[ -][^]*)$/.exec(text)
    if (whole) return this.report(hmail, [whole[1]], 'message')
    const lines = hmail.todo.rcpt_to
        .filter((rcpt) => /^[45]\d\d$/.test(rcpt.dsn_smtp_code) && rcpt.dsn_smtp_response)
        .map((rcpt) => reply_of(rcpt))
    if (lines.length) this.report(hmail, lines, 'message')
    else if (/^Tried all MXs/.test(text)) this.report(hmail, [null], 'connect')
}

// The response may begin with its code already.
function reply_of(rcpt) {
    const text = String(rcpt.dsn_smtp_response)
    return text.startsWith(String(rcpt.dsn_smtp_code)) ? text : `${rcpt.dsn_smtp_code} ${text}`
}

exports.report = function (hmail, lines, stage) {
    const mine = hmail.notes.tollgate
    if (!mine?.flow || !this.gate.there()) return
    for (const line of lines) this.gate.report(mine.flow, line, mine.traffic, stage, mine.n, mine.at_ns ?? 0n)
}
