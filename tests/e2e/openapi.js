// SPDX-License-Identifier: Apache-2.0
// Drives every path and method of the description that a controller serves, against that controller,
// and holds its answers against the schemas. Prints "ok NAME" and "not ok NAME" lines.
//   node openapi.js http://ADDRESS:PORT
'use strict'
const http = require('http')
const base = new URL(process.argv[2])
let failed = false
let doc

function report(name, problems) {
	failed = failed || problems.length > 0
	console.log(`${problems.length ? 'not ok' : 'ok'} ${name}`)
	for (const problem of problems.slice(0, 20)) console.error(`${name}: ${problem}`)
}

const agent = new http.Agent({ keepAlive: true })
function call(method, path, body, headers = {}) {
	return new Promise((resolve, reject) => {
		const text = body === undefined ? undefined : JSON.stringify(body)
		const request = http.request(
			{ method, path, agent, host: base.hostname, port: base.port,
			  headers: { ...headers, ...(text ? { 'Content-Length': Buffer.byteLength(text) } : {}) } },
			(response) => {
				let got = ''
				response.setEncoding('utf8')
				response.on('data', (piece) => (got += piece))
				response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: got }))
			})
		request.on('error', reject)
		request.end(text)
	})
}

// --- schemas: only the words that the description uses; another one is an error
const resolve = (node) => {
	while (node && node.$ref) node = node.$ref.slice(2).split('/').reduce((at, key) => at[key], doc)
	return node
}
const typeOf = (value) =>
	value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value
const isOf = (value, type) => typeOf(value) === type || (type === 'number' && typeOf(value) === 'integer')
const words = {
	type: (s, v) => [].concat(s.type).some((type) => isOf(v, type)) || `${typeOf(v)}, not ${s.type}`,
	enum: (s, v) => s.enum.includes(v) || `${v} is none of ${s.enum}`,
	const: (s, v) => v === s.const || `${v} is not ${s.const}`,
	minimum: (s, v) => typeof v !== 'number' || v >= s.minimum || `${v} is below ${s.minimum}`,
	maximum: (s, v) => typeof v !== 'number' || v <= s.maximum || `${v} is above ${s.maximum}`,
	minLength: (s, v) => typeof v !== 'string' || v.length >= s.minLength || 'too short',
	maxLength: (s, v) => typeof v !== 'string' || v.length <= s.maxLength || 'too long',
	pattern: (s, v) => typeof v !== 'string' || new RegExp(s.pattern).test(v) || `${v} is not ${s.pattern}`,
	minItems: (s, v) => !Array.isArray(v) || v.length >= s.minItems || 'too few',
	minProperties: (s, v) => Array.isArray(v) || Object.keys(v).length >= s.minProperties || 'too few members',
	maxProperties: (s, v) => Array.isArray(v) || Object.keys(v).length <= s.maxProperties || 'too many members',
	required: (s, v) => s.required.every((key) => key in v) || `lacks ${s.required.filter((key) => !(key in v))}`,
}
const others = ['properties', 'additionalProperties', 'items', 'allOf', 'description']
function check(schema, value, at, problems) {
	const s = resolve(schema)
	for (const word of Object.keys(s)) {
		if (others.includes(word)) continue
		if (!words[word]) problems.push(`${at}: the schema has the unknown word ${word}`)
		else if (typeOf(value) === 'object' || !['required', 'minProperties', 'maxProperties'].includes(word)) {
			const result = words[word](s, value)
			if (result !== true) problems.push(`${at}: ${result}`)
		}
	}
	for (const part of s.allOf || []) check(part, value, at, problems)
	if (Array.isArray(value)) value.forEach((item, i) => s.items && check(s.items, item, `${at}[${i}]`, problems))
	else if (typeOf(value) === 'object')
		for (const [key, member] of Object.entries(value)) {
			if (s.properties && s.properties[key]) check(s.properties[key], member, `${at}.${key}`, problems)
			else if (s.additionalProperties) check(s.additionalProperties, member, `${at}.${key}`, problems)
		}
}

// --- one call that the description knows
const succeeded = new Set()
async function drive(want, method, template, values = {}, body, headers) {
	const problems = []
	const [pathTemplate, query] = template.split('?')
	const operation = doc.paths[pathTemplate] && doc.paths[pathTemplate][method]
	const path = pathTemplate.replace(/{(\w+)}/g, (_, key) => encodeURIComponent(values[key])) + (query ? `?${query}` : '')
	const name = `${method.toUpperCase()} ${path}`
	if (!operation) return [`${name} is not described`]
	if (want === 200 && body !== undefined) {
		const content = operation.requestBody && resolve(operation.requestBody).content['application/json']
		if (!content) problems.push(`${name}: a body is not described`)
		else check(content.schema, body, `${name}: body`, problems)
	}
	const answer = await call(method.toUpperCase(), path, body, headers)
	if (answer.status !== want) problems.push(`${name}: ${answer.status}, not ${want}: ${answer.body.slice(0, 300)}`)
	const described = resolve(operation.responses[answer.status])
	if (!described) return problems.concat(`${name}: the status ${answer.status} is not described`)
	for (const header of Object.keys(described.headers || {}))
		if (!(header.toLowerCase() in answer.headers) && !['Link', 'Retry-After'].includes(header))
			problems.push(`${name}: there is no ${header}`)
	const [type, content] = Object.entries(described.content || {})[0] || []
	if (type === 'application/json') {
		try {
			check(content.schema, JSON.parse(answer.body), name, problems)
		} catch (error) {
			problems.push(`${name}: ${error.message}`)
		}
	} else if (!type && answer.body) problems.push(`${name}: a body that is not described`)
	if (answer.status === 200 && !problems.length) succeeded.add(`${method} ${pathTemplate}`)
	drive.last = answer
	return problems
}

// --- a host's agent, as far as the controller talks to it
const limits = {}
function hostSide() {
	const server = http.createServer((request, response) => {
		let got = ''
		request.on('data', (piece) => (got += piece))
		request.on('end', () => {
			const container = request.url.replace(/^\/container\//, '').replace(/\/.*$/, '')
			let answer = { c0: {}, c1: {} }
			if (request.url.startsWith('/host/cpu_topology')) answer = { 0: { 0: [0], 1: [1], 2: [2], 3: [3] } }
			else if (container !== 'resources' && request.method === 'PUT') {
				limits[container] = { ...limits[container], ...JSON.parse(got) }
				answer = limits[container]
			} else if (container !== 'resources')
				answer = limits[container] || { cpu: { cpu_allowance_limit: 200, cpu_num: '0-3' }, mem: { mem_limit: 512 } }
			response.writeHead(request.method === 'PUT' ? 201 : 200,
				{ 'Content-Type': 'application/json', 'Ebb-Applied-Ns': String(process.hrtime.bigint()) })
			response.end(JSON.stringify(answer))
		})
	})
	return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)))
}
let seq = 0
const feed = (more) => ({ host: 'h0', session: 's1', seq: ++seq, guard_version: 0, now: Number(process.hrtime.bigint()), samples: [], ...more })
const registration = (port) => feed({
	register: { version: '0', address: `http://127.0.0.1:${port}`, period_ms: 100, cpus: [0, 1, 2, 3], mem: 8 * 2 ** 30,
		topology: { 0: { 0: [0], 1: [1], 2: [2], 3: [3] } }, disk: { path: '/', device: '' }, kernel: '6', cgroup: 'v1', sampler: 'files' },
	added: [
		{ c: 1, name: 'c0', engine: 'cgroup', path: 'x/c0', limits: { cpu: 200, cpus: '0-3', mem: 512 } },
		{ c: 2, name: 'c1', engine: 'cgroup', path: 'x/c1', limits: { cpu: 100, cpus: '0-3', mem: 512 } }] })

const range = (max, more) => ({ max, min: 20, guard: false, ...more })
const boundary = { boundary: 10, boundary_type: 'percentage_of_max' }
const files = { install_script: '', install_files: '', runtime_files: '', output_dir: '', start_script: '', stop_script: '' }
const disk = { name: 'ssd_0', type: 'SSD', load: 0, path: '/dev/sdb', max_read: 500, free_read: 500, max_write: 400, free_write: 400 }
const rule = { resource: 'cpu', active: false, generates: 'events', rule: { '>': [{ var: 'cpu.structure.cpu.usage' }, 5] },
	action: { events: { scale: { up: 1 } } } }

async function main() {
	doc = JSON.parse((await call('GET', '/openapi.json')).body)
	const host = await hostSide()
	const port = String(host.address().port)
	const c0 = { name: 'c0' }, c0cpu = { name: 'c0', resource: 'cpu' }, up = { name: 'CpuRescaleUp' }, mine = { name: 'mine' }
	const app = { name: 'c1', application: 'app1' }, user = { name: 'u1' }, both = { resources: ['cpu', 'mem'] }
	const steps = [
		[200, 'post', '/feed', {}, registration(port)],
		[409, 'post', '/feed', {}, feed({ session: 'unknown' })],
		[400, 'post', '/feed', {}, {}],
		[200, 'get', '/heartbeat'], [200, 'get', '/metrics'], [200, 'get', '/openapi.json'],
		[200, 'get', '/leader'], [200, 'post', '/leader/promise', {}, { term: 1, instance: 'x' }], [400, 'post', '/leader/promise', {}, { term: 0 }],
		[200, 'post', '/leader/ask', {}, { url: 'http://x', instance: 'x' }], [400, 'post', '/leader/ask', {}, {}],
		[200, 'get', '/sanity'], [200, 'post', '/sanity/run'], [200, 'put', '/sanity/run'],
		[200, 'get', '/structure'], [200, 'get', '/structure?limit=1&live'], [400, 'get', '/structure?limit=x'],
		[200, 'get', '/structure/{name}', c0], [200, 'get', '/structure/{name}?live', { name: 'h0' }], [404, 'get', '/structure/{name}', { name: 'c9' }],
		[200, 'get', '/structure/{name}/resources', c0], [200, 'get', '/structure/{name}/resources/{resource}', c0cpu],
		[200, 'get', '/structure/{name}/resources/{resource}/{parameter}', { ...c0cpu, parameter: 'max' }],
		[404, 'get', '/structure/{name}/resources/{resource}/{parameter}', { ...c0cpu, parameter: 'most' }],
		[200, 'put', '/structure/{name}/resources/{resource}/{parameter}', { ...c0cpu, parameter: 'max' }, { value: '200' }],
		[400, 'put', '/structure/{name}/resources/{resource}/{parameter}', { ...c0cpu, parameter: 'max' }, { value: 'x' }],
		[412, 'put', '/structure/{name}/resources/{resource}/{parameter}', { ...c0cpu, parameter: 'min' }, { value: 30 }, { 'If-Match': '"1"' }],
		[200, 'put', '/structure/{name}/guard', c0], [200, 'put', '/structure/{name}/unguard', c0], [404, 'put', '/structure/{name}/guard', { name: 'c9' }],
		[200, 'put', '/structure/{name}/resources/guard', c0, both], [200, 'put', '/structure/{name}/resources/unguard', c0, both],
		[400, 'put', '/structure/{name}/resources/guard', c0, { resources: ['gpu'] }],
		[200, 'put', '/structure/{name}/resources/{resource}/guard', c0cpu], [200, 'put', '/structure/{name}/resources/{resource}/unguard', c0cpu],
		[200, 'put', '/structure/{name}/feed', { name: 'h0' }, { value: 'auto' }], [409, 'put', '/structure/{name}/feed', { name: 'h0' }, { value: 'opentsdb' }],
		[200, 'put', '/structure/{name}/drift', { name: 'c0' }, { value: 'accept' }],
		[200, 'put', '/structure/{name}/drift', { name: 'c0' }, { value: null }],
		[400, 'put', '/structure/{name}/drift', { name: 'c0' }, { value: 'x' }],
		[200, 'put', '/structure/{name}/reflex', { name: 'c0' }, { value: false }],
		[400, 'put', '/structure/{name}/reflex', { name: 'c0' }, { value: 'x' }],
		[200, 'put', '/structure/{name}/core_distribution', { name: 'h0' }, { value: 'Group_PP_LL' }],
		[400, 'put', '/structure/{name}/core_distribution', { name: 'h0' }, { value: 'x' }],
		[200, 'get', '/structure/{name}/limits', c0], [200, 'get', '/structure/{name}/limits/{resource}', c0cpu],
		[200, 'put', '/structure/{name}/limits/{resource}/boundary', c0cpu, { value: 20 }],
		[200, 'put', '/structure/{name}/limits/{resource}/boundary_type', c0cpu, { value: 'percentage_of_max' }],
		[400, 'put', '/structure/{name}/limits/{resource}/boundary', c0cpu, { value: 101 }],
		[200, 'get', '/rule'], [200, 'get', '/rule?limit=2&start=a&active=true'], [200, 'get', '/rule/{name}', up], [404, 'get', '/rule/{name}', mine],
		[200, 'put', '/rule/{name}', mine, rule], [412, 'put', '/rule/{name}', mine, rule, { 'If-None-Match': '*' }],
		[400, 'put', '/rule/{name}', mine, { ...rule, rule: { '=>': [1, 2] } }],
		[200, 'put', '/rule/{name}/activate', mine], [200, 'put', '/rule/{name}/deactivate', mine], [200, 'delete', '/rule/{name}', mine],
		[404, 'delete', '/rule/{name}', mine],
		[200, 'put', '/rule/{name}/amount', up, { value: 80 }], [200, 'put', '/rule/{name}/policy', up, { value: 'proportional' }],
		[200, 'put', '/rule/{name}/events_required', up, { event_type: 'up', value: '3' }],
		[400, 'put', '/rule/{name}/policy', up, { value: 'x' }],
		[200, 'get', '/service'], [200, 'get', '/service/{name}', { name: 'guardian' }], [404, 'get', '/service/{name}', { name: 'x' }],
		[200, 'put', '/service/{name}', { name: 'guardian' }, { EVENT_TIMEOUT: '3', DEBUG: false }],
		[200, 'put', '/service/{name}/{key}', { name: 'scaler', key: 'REQUEST_TIMEOUT' }, { value: '20' }],
		[400, 'put', '/service/{name}/{key}', { name: 'scaler', key: 'REQUEST_TIMEOUT' }, { value: 'soon' }],
		[200, 'put', '/structure/host/{name}', { name: 'h1' }, { name: 'h1', host: 'h1', subtype: 'host', host_rescaler_ip: '127.0.0.1',
			host_rescaler_port: port, resources: { cpu: { max: 400, free: 400 }, mem: { max: 4096, free: 4096 }, disks: [disk] } }],
		[400, 'put', '/structure/host/{name}', { name: 'h2' }, {}],
		[200, 'put', '/structure/host/{name}/disks', { name: 'h1' }, { resources: { disks: [{ ...disk, name: 'ssd_1' }] } }],
		[200, 'post', '/structure/host/{name}/disks', { name: 'h1' }, { resources: { disks: [{ name: 'ssd_1', max_read: 600, max_write: 500 }] } }],
		[200, 'delete', '/structure/host/{name}', { name: 'h1' }], [404, 'delete', '/structure/host/{name}', { name: 'h1' }],
		[200, 'put', '/structure/container/{name}', { name: 'c1' }, {
			container: { name: 'c1', subtype: 'container', host: 'h0', host_rescaler_ip: '127.0.0.1', host_rescaler_port: port, guard: false,
				resources: { cpu: range(200, { current: 100 }), mem: range(1024, { current: 512, min: 64 }) } },
			limits: { resources: { cpu: boundary, mem: boundary } } }],
		[400, 'put', '/structure/container/{name}', { name: 'c1' }, {}],
		[200, 'put', '/structure/apps/{name}', { name: 'app1' }, {
			app: { name: 'app1', subtype: 'application', guard: false, ...files, resources: { cpu: range(400), mem: range(2048) } },
			limits: { resources: { cpu: boundary, mem: boundary } } }],
		[400, 'put', '/structure/apps/{name}', { name: 'app2' }, {}],
		[200, 'put', '/structure/{name}/state/{state}', { name: 'app1', state: 'running' }], [400, 'put', '/structure/{name}/state/{state}', { name: 'app1', state: 'x' }],
		[200, 'put', '/structure/container/{name}/{application}', app], [404, 'put', '/structure/container/{name}/{application}', { name: 'c1', application: 'x' }],
		[200, 'put', '/user/{name}', user, { user: { name: 'u1', subtype: 'user', resources: { cpu: { max: 900, min: 0 }, mem: { max: 4096, min: 0 }, energy: { max: 90, min: 0 } } } }],
		[400, 'put', '/user/{name}', { name: 'u2' }, {}],
		[200, 'get', '/user'], [200, 'get', '/user/{name}', user], [404, 'get', '/user/{name}', { name: 'x' }],
		[200, 'put', '/user/clusters/{name}/{application}', { name: 'u1', application: 'app1' }],
		[200, 'put', '/user/{name}/resources/{resource}/{parameter}', { name: 'u1', resource: 'cpu', parameter: 'max' }, { value: 800 }],
		[200, 'put', '/user/{name}/energy/max', user, { value: 80 }], [400, 'put', '/user/{name}/energy/max', user, { value: 'x' }],
		[200, 'put', '/user/{name}/guard', user], [200, 'put', '/user/{name}/unguard', user],
		[200, 'put', '/user/{name}/resources/{resource}/guard', { name: 'u1', resource: 'cpu' }],
		[200, 'put', '/user/{name}/resources/{resource}/unguard', { name: 'u1', resource: 'cpu' }],
		[200, 'delete', '/user/clusters/{name}/{application}', { name: 'u1', application: 'app1' }],
		[200, 'delete', '/structure/container/{name}/{application}', app], [400, 'delete', '/structure/container/{name}/{application}', app],
		[200, 'delete', '/structure/apps/{name}', { name: 'app1' }], [404, 'delete', '/structure/apps/{name}', { name: 'app1' }],
		[200, 'delete', '/user/{name}', user], [404, 'delete', '/user/{name}', user],
		[200, 'get', '/decision'], [400, 'get', '/decision?limit=0'],
		[200, 'delete', '/structure/container/{name}', { name: 'c1' }], [404, 'delete', '/structure/container/{name}', { name: 'x' }],
	]
	const problems = []
	for (const step of steps) {
		problems.push(...(await drive(...step)))
		// Heard lately, or it gets no orders.
		if (seq > 2) await call('POST', '/feed', feed({}))
	}
	for (const [path, value] of [['/structure/{name}', c0], ['/structure/{name}/limits', c0], ['/rule/{name}', up], ['/service/{name}', { name: 'scaler' }]]) {
		problems.push(...(await drive(200, 'get', path, value)))
		problems.push(...(await drive(304, 'get', path, value, undefined, { 'If-None-Match': drive.last.headers.etag })))
	}
	report('answers_fit_their_schemas', problems)

	const missing = []
	for (const [path, item] of Object.entries(doc.paths))
		for (const method of ['get', 'put', 'post', 'delete'])
			if (item[method] && !succeeded.has(`${method} ${path}`)) missing.push(`${method} ${path} was not driven, or never answered 200`)
	report('every_operation_was_driven', missing)
	host.close()
	process.exit(failed ? 1 : 0)
}
main().catch((error) => {
	console.log('not ok openapi_driver')
	console.error(error)
	process.exit(1)
})
