// SPDX-License-Identifier: MIT
//
// libtollgate by koffi: one attachment of this process. Structs of the library are buffers of the size that it
// says, whose inside is read nowhere but at_ns and flags of a verdict, and the flags of an advice.
'use strict'

const koffi = require('koffi')

const CLASSES = ['transactional', 'engaged', 'bulk']
const STRUCT = { source: 1, destination: 2, flow: 3, verdict: 4, reservation: 6, advice: 7 }
const STAGE = { message: 0, greeting: 1, connect: 2 }
const COUNT_RECIPIENTS = 1
const ATTACH_AGAIN_MS = 1000
const FLOWS_KNOWN = 10_000
const NAME_ROOM = 64

const PROTOTYPES = {
    attach: 'int tg_attach(void *options, _Out_ void **ret)',
    detach: 'void tg_detach(void *tg)',
    renew: 'int tg_renew(void *tg)',
    error_text: 'const char *tg_error_text(int error, const char *segment, void *text, size_t size)',
    generation: 'uint64_t tg_generation(void *tg)',
    until: 'uint64_t tg_until(void *tg, uint64_t at_ns)',
    source: 'int tg_source(void *tg, const char *name, void *ret)',
    source_text: 'int tg_source_text(void *source, void *text, size_t size)',
    destination: 'int tg_destination(void *tg, const char *name, void *ret)',
    flow: 'int tg_flow(void *tg, void *source, void *destination, void *ret)',
    pick: 'int tg_pick(void *tg, const char *pool, void *destination, uint32_t traffic, void *ret, void *ret_at_ns)',
    advise: 'int tg_advise(void *tg, void *flow, uint32_t traffic, void *ret)',
    reserve: 'uint32_t tg_reserve_into(void *tg, void *flow, uint32_t traffic, uint32_t n, uint64_t max_wait_ns, void *reservation, void *ret, void *ret_wait_ns)',
    redeem: 'uint32_t tg_redeem_into(void *tg, void *reservation, void *ret, void *ret_wait_ns)',
    cancel: 'int tg_cancel(void *tg, void *reservation)',
    report_line: 'int tg_report_line(void *tg, void *flow, const char *line, size_t length, uint32_t traffic, uint32_t stage, uint32_t n, uint64_t admitted_ns)',
    reason_name: 'const char *tg_reason_name(uint32_t reason)',
    struct_size: 'size_t tg_struct_size(uint32_t which)',
}

class Gate {
    // options: segment, library (both may be missing); log: a function of one text
    constructor({ segment, library: file }, log) {
        const library = koffi.load(file || process.env.TOLLGATE_LIBRARY || 'libtollgate.so.0')
        this.call = {}
        for (const [name, prototype] of Object.entries(PROTOTYPES)) this.call[name] = library.func(prototype)
        this.segment = segment || null
        this.log = log
        this.tg = null
        this.told = false
        this.try_at = 0
        this.forget()
    }

    make(which) {
        return Buffer.alloc(this.call.struct_size(STRUCT[which]))
    }

    forget() {
        this.destinations = new Map()
        this.flows = new Map()
        this.known = -1
    }

    error(number) {
        const text = Buffer.alloc(512)
        return this.call.error_text(number, this.segment, text, text.length)
    }

    // Attached, or tries to be at most once a second; what stands in the way is said once.
    there() {
        if (this.tg || Date.now() < this.try_at) return this.tg !== null
        this.try_at = Date.now() + ATTACH_AGAIN_MS
        const tg = [null]
        // The segment goes by the environment, which tg_attach reads where there are no options.
        if (this.segment) process.env.TOLLGATE_SEGMENT = this.segment
        const failed = this.call.attach(null, tg)
        if (failed && !this.told) this.log(`${this.error(failed)}; until then what absent= says holds`)
        if (!failed && this.told) this.log('attached: the gate decides again')
        this.told = failed !== 0
        this.tg = failed ? null : tg[0]
        return this.tg !== null
    }

    detach() {
        if (this.tg) this.call.detach(this.tg)
        this.tg = null
        this.try_at = Infinity
    }

    // The segment was replaced: handles are another's then.
    renew() {
        if (this.call.renew(this.tg) === 0) this.forget()
    }

    must(failed) {
        if (failed < 0) throw new Error(this.error(failed))
        return failed
    }

    destination(domain) {
        const generation = Number(this.call.generation(this.tg))
        if (generation !== this.known || this.flows.size > FLOWS_KNOWN || this.destinations.size > FLOWS_KNOWN) {
            this.forget()
            this.known = generation
        }
        let found = this.destinations.get(domain)
        if (!found) {
            found = this.make('destination')
            this.must(this.call.destination(this.tg, domain, found))
            this.destinations.set(domain, found)
        }
        return found
    }

    // The flow of the source of a pool that can send soonest, or of an address: { source, flow }
    flow(pool, address, domain, traffic) {
        const destination = this.destination(domain)
        const source = this.make('source')
        const text = Buffer.alloc(NAME_ROOM)
        if (pool) this.must(this.call.pick(this.tg, pool, destination, traffic, source, Buffer.alloc(8)))
        else this.must(this.call.source(this.tg, address, source))
        const name = text.toString('latin1', 0, this.must(this.call.source_text(source, text, text.length)))
        const key = `${name} ${domain}`
        let flow = this.flows.get(key)
        if (!flow) {
            flow = this.make('flow')
            this.must(this.call.flow(this.tg, source, destination, flow))
            this.flows.set(key, flow)
        }
        return { source: name, flow }
    }

    // How many a message with so many recipients counts as.
    count(flow, traffic, recipients) {
        const advice = this.make('advice')
        this.must(this.call.advise(this.tg, flow, traffic, advice))
        return advice.readUInt32LE(8) & COUNT_RECIPIENTS ? recipients : 1
    }

    answer(reason, verdict, wait) {
        const ns = wait.readBigUInt64LE(0)
        return { reason: this.call.reason_name(reason), wait_ms: Number(ns) / 1e6, at_ns: verdict.readBigUInt64LE(0) }
    }

    // The next slot within max_wait_ms: { reason, wait_ms, at_ns, reservation }
    reserve(flow, traffic, n, max_wait_ms) {
        const [verdict, wait, reservation] = [this.make('verdict'), Buffer.alloc(8), this.make('reservation')]
        const reason = this.call.reserve(this.tg, flow, traffic, n, BigInt(Math.round(max_wait_ms * 1e6)), reservation, verdict, wait)
        return { ...this.answer(reason, verdict, wait), reservation }
    }

    redeem(reservation) {
        const [verdict, wait] = [this.make('verdict'), Buffer.alloc(8)]
        return this.answer(this.call.redeem(this.tg, reservation, verdict, wait), verdict, wait)
    }

    cancel(reservation) {
        this.call.cancel(this.tg, reservation) // what cannot be given back is forfeited
    }

    until_ms(at_ns) {
        return Number(this.call.until(this.tg, at_ns)) / 1e6
    }

    // line null: no reply came
    report(flow, line, traffic, stage, n, at_ns) {
        const length = line === null ? 0 : Buffer.byteLength(line)
        return this.call.report_line(this.tg, flow, line, length, traffic, STAGE[stage], n, at_ns)
    }
}

module.exports = { Gate, CLASSES }
