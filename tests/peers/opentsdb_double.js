// SPDX-License-Identifier: Apache-2.0
// A strict OpenTSDB 2.4 in memory, as it is delivered: no new metrics, no body above 8,192 bytes, no
// chunks. See double.js for how it is started and made to fail; its own modes:
//   auto_create      true: any metric; false (OpenTSDB's default): only `metrics` and assigned ones
//   metrics          the names that exist; at first the 37 that BDWatchdog's script makes
//   body_max         bytes on the wire that come as one piece; OpenTSDB: 8192
//   chunked          true: tsd.http.request.enable_chunked; larger bodies up to max_chunk then
//   max_chunk        and beyond it the connection is closed; OpenTSDB: 4096
//   cors             null, or a list of domains ("*")
//   show_stack_trace true (OpenTSDB's default): errors have a `trace`
//   skip_unresolved  true: tsd.query.skip_unresolved_tagvs
//   storage_fails    so many of the next valid points fail in the storage (seen with `sync`)
//   throttle         so many of the next valid points are answered "Please throttle"
//   sync_ms          how long the storage takes (seen with `sync`)
//   auth             "USER:PASSWORD": a proxy in front asks for it
//   store            false: points are checked and counted only
// GET /control: modes and counters; POST /control: set modes; GET and DELETE /control/points.
'use strict';
const zlib = require('zlib');
const double = require('./double');
const { parse_body, check_point, check_string, Refused, Rejected } = require('./opentsdb_put');
const { run, BadQuery, aggregators } = require('./opentsdb_query');

const [dir, ...args] = process.argv.slice(2);
const MADE_BY_SCRIPT = ('sys.processors.temp sys.processors.energy sys.cpu.temp sys.cpu.energy sys.core.temp ' +
	'proc.cpu.energy sys.cpu.kernel sys.cpu.user sys.cpu.idle sys.cpu.wait sys.cpu.usage sys.disk.usage ' +
	'sys.disk.read.ios sys.disk.read.mb sys.disk.write.ios sys.disk.write.mb sys.mem.free sys.mem.usage ' +
	'sys.net.in.mb sys.net.out.mb sys.net.usage proc.cpu.user proc.cpu.kernel proc.disk.reads.mb ' +
	'proc.disk.writes.mb proc.mem.virtual proc.mem.resident proc.mem.swap sys.swap.free proc.net.tcp.out.mb ' +
	'proc.net.tcp.in.mb proc.net.tcp.out.packets proc.net.tcp.in.packets proc.net.udp.out.mb ' +
	'proc.net.udp.in.mb proc.net.udp.out.packets proc.net.udp.in.packets').split(' ');
const modes = double.modes_of_arguments({
	auto_create: false, metrics: MADE_BY_SCRIPT, body_max: 8192, chunked: false, max_chunk: 4096, cors: null,
	show_stack_trace: true, skip_unresolved: false, storage_fails: 0, throttle: 0, sync_ms: 0, auth: null, store: true,
}, args);
const store = { series: new Map(), uids: { metric: new Map(), tagk: new Map(), tagv: new Map() } };
let counters;

function reset_counters() {
	counters = {
		connections: 0, requests: 0, bodies: 0, body_bytes: 0, largest_body: 0, gzip_bodies: 0,
		points: 0, stored: 0, rejected: 0, statuses: {}, closed: 0,
	};
}
reset_counters();

class Answer extends Error {
	constructor(status, message, details) {
		super(message);
		this.status = status;
		this.details = details;
	}
}

const json_type = { 'Content-Type': 'application/json; charset=UTF-8' };

function reply(exchange, status, body) {
	const text = typeof body === 'string' ? body : JSON.stringify(body);
	counters.statuses[status] = (counters.statuses[status] ?? 0) + 1;
	double.send(modes, exchange.response, status, { ...json_type, ...exchange.headers }, text);
}

function reply_error(exchange, status, message, details) {
	const error = { code: status, message };
	if (details)
		error.details = details;
	if (modes.show_stack_trace)
		error.trace = `net.opentsdb.tsd.BadRequestException: ${message}\n\tat net.opentsdb.tsd.RpcHandler\n`;
	reply(exchange, status, { error });
}

function reply_page(exchange, status, title, reason) {
	exchange.headers['Content-Type'] = 'text/html; charset=UTF-8';
	reply(exchange, status, `<!DOCTYPE html><html><head><title>${title}</title></head><body><blockquote>` +
		`<h1>${title}</h1>Sorry but your request was rejected as being invalid.<br/><br/>` +
		`The reason provided was:<blockquote>${reason}</blockquote></blockquote></body></html>`);
}

function hang_up(exchange) {
	counters.closed++;
	exchange.request.socket.destroy();
}

function only(exchange, ...methods) {
	if (!methods.includes(exchange.request.method))
		throw new Answer(405, 'Method not allowed',
			`The HTTP method [${exchange.request.method}] is not permitted for this endpoint`);
}

// --- put

function assign(kind, name) {
	const table = store.uids[kind];
	if (!table.has(name))
		table.set(name, (table.size + 1).toString(16).toUpperCase().padStart(6, '0'));
	return table.get(name);
}

function knows(metric) {
	return modes.auto_create || store.uids.metric.has(metric) || modes.metrics.includes(metric);
}

function keep(point) {
	counters.stored++;
	if (!modes.store)
		return;
	assign('metric', point.metric);
	const tags = new Map([...point.tags].sort(([a], [b]) => (a < b ? -1 : 1)));
	const key = JSON.stringify([point.metric, ...tags]);
	for (const [k, v] of tags) {
		assign('tagk', k);
		assign('tagv', v);
	}
	if (!store.series.has(key))
		store.series.set(key, { key, metric: point.metric, tags, points: new Map() });
	const points = store.series.get(key).points, stamp = String(point.timestamp);
	// As fix_duplicates=true does: the last one written holds.
	points.set(stamp, { timestamp: point.timestamp, value: point.value, writes: (points.get(stamp)?.writes ?? 0) + 1 });
}

function as_sent(point) {
	return point && {
		metric: point.metric, timestamp: Number(point.timestamp), value: point.value,
		tags: point.tags && Object.fromEntries(point.tags),
	};
}

function put(exchange) {
	only(exchange, 'POST');
	const flags = exchange.query, points = parse_body(exchange.content);
	const summary = flags.has('summary'), details = flags.has('details'), sync = flags.has('sync');
	const timeout = Number(flags.get('sync_timeout') ?? 0);
	const errors = [];
	let queued = 0, failed_writes = 0;
	const reject = (point, error) => {
		counters.rejected++;
		errors.push({ datapoint: as_sent(point), error });
	};
	counters.points += points.length;
	for (const point of points) {
		try {
			const good = check_point(point, knows);
			if (modes.throttle > 0) {
				modes.throttle--;
				throw new Rejected('Please throttle');
			}
			queued++;
			if (modes.storage_fails > 0) {
				modes.storage_fails--;
				failed_writes++;
				reject(point, 'Storage exception: the region is not there');
			} else {
				keep(good);
			}
		} catch (error) {
			if (!(error instanceof Rejected))
				throw error;
			reject(point, error.message);
		}
	}
	if (sync && timeout > 0 && modes.sync_ms > timeout) {
		setTimeout(() => put_timed_out(exchange, points, queued, details, summary), timeout);
		return;
	}
	// Without `sync` nobody waits for the storage.
	const failures = points.length - queued, seen = sync ? failed_writes : 0;
	const answer = { ...(timeout > 0 ? { timeouts: 0 } : {}), success: queued - seen, failed: failures + seen };
	if (details)
		answer.errors = sync ? errors : errors.filter((e) => !e.error.startsWith('Storage exception'));
	const go = () => {
		if (summary || details)
			reply(exchange, failures > 0 ? 400 : 200, answer);
		else if (failures + seen > 0)
			reply_error(exchange, 400, 'One or more data points had errors',
				'Please see the TSD logs or append "details" to the put request');
		else
			reply(exchange, 204, '');
	};
	if (sync && modes.sync_ms > 0)
		setTimeout(go, modes.sync_ms);
	else
		go();
}

function put_timed_out(exchange, points, queued, details, summary) {
	const failures = points.length - queued;
	if (!details && !summary) {
		reply_error(exchange, 400, 'The put call has timedout with 0 successful writes, 0 failed writes and ' +
			`${queued} timed out writes.`, 'Please see the TSD logs or append "details" to the put request');
		return;
	}
	const errors = points.map((p) => ({ datapoint: as_sent(p), error: 'Write timedout' }));
	reply(exchange, 400, { success: 0, failed: failures, timeouts: queued, ...(details ? { errors } : {}) });
}

// --- the rest of the API

function parse_json(exchange) {
	if (exchange.content.length === 0)
		throw new Answer(400, 'Missing message content', 'Supply valid JSON formatted data in the body of your request');
	try {
		return JSON.parse(exchange.content.toString('utf8'));
	} catch {
		throw new Answer(400, 'Unable to parse the given JSON');
	}
}

function query(exchange) {
	only(exchange, 'POST');
	try {
		reply(exchange, 200, run(store, parse_json(exchange),
			{ arrays: exchange.query.has('arrays'), skip_unresolved: modes.skip_unresolved }));
	} catch (error) {
		if (!(error instanceof BadQuery))
			throw error;
		throw new Answer(400, error.message);
	}
}

function suggest(exchange) {
	only(exchange, 'GET', 'POST');
	const from = exchange.request.method === 'POST' ? new Map(Object.entries(parse_json(exchange))) : exchange.query;
	const type = from.get('type'), max = from.get('max') ?? '25';
	if (!type)
		throw new Answer(400, exchange.request.method === 'POST' ? "Missing 'type' parameter" : 'Missing parameter <code>type</code>');
	const kind = { metrics: 'metric', tagk: 'tagk', tagv: 'tagv' }[type];
	if (!kind)
		throw new Answer(400, `Invalid 'type' parameter:${type}`);
	if (!/^[0-9]+$/.test(max))
		throw new Answer(400, "Unable to parse 'max' as a number");
	const names = [...store.uids[kind].keys(), ...(kind === 'metric' ? modes.metrics : [])];
	reply(exchange, 200, [...new Set(names)].filter((n) => n.startsWith(from.get('q') ?? '')).sort().slice(0, Number(max)));
}

function uid_assign(exchange) {
	only(exchange, 'GET', 'POST');
	const source = exchange.request.method === 'POST' ? parse_json(exchange) :
		Object.fromEntries(['metric', 'tagk', 'tagv'].filter((k) => exchange.query.get(k)).map((k) => [k, exchange.query.get(k).split(',')]));
	if (Object.keys(source).length === 0)
		throw new Answer(400, 'Missing values to assign UIDs');
	const answer = {};
	let failed = false;
	for (const [kind, names] of Object.entries(source)) {
		const made = {}, errors = {};
		for (const name of names) {
			try {
				check_string(kind, name);
				if (!(kind in store.uids))
					throw new Rejected('Unknown type name');
				if (store.uids[kind].has(name) || (kind === 'metric' && modes.metrics.includes(name)))
					throw new Rejected(`Name already exists with UID: ${assign(kind, name)}`);
				made[name] = assign(kind, name);
			} catch (error) {
				if (!(error instanceof Rejected))
					throw error;
				errors[name] = error.message;
				failed = true;
			}
		}
		answer[kind] = made;
		if (Object.keys(errors).length > 0)
			answer[`${kind}_errors`] = errors;
	}
	reply(exchange, failed ? 400 : 200, answer);
}

const started = String(Math.trunc(Date.now() / 1000));
const ROUTES = {
	'/api/put': put,
	'/api/query': query,
	'/api/suggest': suggest,
	'/api/uid/assign': uid_assign,
	'/api/aggregators': (exchange) => {
		only(exchange, 'GET', 'POST');
		reply(exchange, 200, aggregators);
	},
	'/api/version': (exchange) => {
		only(exchange, 'GET', 'POST');
		reply(exchange, 200, {
			short_revision: 'double', repo: 'tests/peers', host: 'localhost', version: '2.4.0',
			full_revision: 'double', repo_status: 'MODIFIED', user: 'tests', branch: 'main', timestamp: started,
		});
	},
};

// True when the request has been answered by that.
function cors(exchange) {
	const origin = exchange.request.headers.origin, options = exchange.request.method === 'OPTIONS';
	if (!options && (!modes.cors || !origin))
		return false;
	if (!modes.cors || !origin)
		throw new Answer(405, 'Method not allowed', `The HTTP method [${exchange.request.method}] is not permitted`);
	if (!modes.cors.includes('*') && !modes.cors.some((d) => d.toUpperCase() === origin.toUpperCase()))
		throw new Answer(200, 'CORS domain not allowed', `The domain [${origin}] is not permitted access`);
	Object.assign(exchange.headers, {
		'Access-Control-Allow-Origin': origin,
		'Access-Control-Allow-Methods': 'GET, POST, PUT, DELETE',
		'Access-Control-Allow-Headers': 'Authorization, Content-Type, Accept, Origin, User-Agent, DNT, ' +
			'Cache-Control, X-Mx-ReqToken, Keep-Alive, X-Requested-With, If-Modified-Since',
	});
	if (options)
		reply(exchange, 200, '');
	return options;
}

function route(exchange) {
	try {
		if (cors(exchange))
			return;
		const serve = ROUTES[exchange.path.replace(/^\/api\/v1\//, '/api/')];
		if (serve)
			serve(exchange);
		else if (exchange.path.startsWith('/api/'))
			reply_error(exchange, 404, 'Endpoint not found', 'The requested endpoint was not found');
		else
			reply_page(exchange, 404, 'Page Not Found', 'there is nothing here');
	} catch (error) {
		if (error instanceof Answer)
			reply_error(exchange, error.status, error.message, error.details);
		else if (error instanceof Refused)
			reply_error(exchange, 400, error.message);
		else
			reply_error(exchange, 500, String(error.message), error.stack);
	}
}

// --- what comes in

function inflate(content, encoding, done) {
	if (encoding === 'gzip')
		zlib.gunzip(content, done);
	else if (encoding === 'deflate')
		zlib.inflate(content, done);
	else
		done(null, content);
}

// What a TSD does with a message that does not come as one piece. True when that was all.
function refused_as_chunked(exchange) {
	const { headers } = exchange.request;
	const length = Number(headers['content-length'] ?? 0);
	if (length <= modes.body_max && !headers['transfer-encoding'] && !headers.expect)
		return false;
	if (!modes.chunked) {
		// At once, before the body has come.
		reply_page(exchange, 400, 'Bad Request', 'Chunked request not supported.');
		return true;
	}
	if (headers.expect)
		exchange.response.writeContinue();
	exchange.limit = modes.max_chunk;
	return false;
}

function take(exchange, content) {
	const { headers } = exchange.request;
	if (exchange.limit && content.length > exchange.limit) {
		hang_up(exchange);
		return;
	}
	if (content.length > 0) {
		counters.bodies++;
		counters.body_bytes += content.length;
		counters.largest_body = Math.max(counters.largest_body, content.length);
		counters.gzip_bodies += headers['content-encoding'] === 'gzip' ? 1 : 0;
	}
	const failing = double.failure(modes, exchange.request);
	if (failing === 'hang')
		return;
	if (failing === 'reset') {
		counters.closed++;
		exchange.request.socket.resetAndDestroy?.();
		exchange.request.socket.destroy();
		return;
	}
	if (failing === 'close') {
		hang_up(exchange);
		return;
	}
	if (typeof failing === 'number') {
		if (modes.retry_after !== null)
			exchange.headers['Retry-After'] = String(modes.retry_after);
		// From a proxy in front: a TSD has no such answers.
		reply_page(exchange, failing, 'Unavailable', 'the proxy has no server');
		return;
	}
	inflate(content, headers['content-encoding'], (error, plain) => {
		if (error) {
			hang_up(exchange);
			return;
		}
		exchange.content = plain;
		if (failing === 'lost')
			exchange.response.writeHead = () => hang_up(exchange);
		route(exchange);
	});
}

function points_text() {
	const lines = [];
	for (const s of store.series.values())
		for (const p of s.points.values())
			lines.push(`{"metric":${JSON.stringify(s.metric)},"timestamp":${p.timestamp},"value":${p.value},` +
				`"tags":${JSON.stringify(Object.fromEntries(s.tags))},"writes":${p.writes}}`);
	return `[${lines.join(',\n')}]\n`;
}

function control(request, response, content) {
	let status = 200, body;
	try {
		if (request.url === '/control/points' && request.method === 'DELETE') {
			store.series.clear();
			reset_counters();
		}
		if (request.url === '/control' && request.method === 'POST')
			double.set_modes(modes, JSON.parse(content.toString()));
		body = request.url === '/control/points' ? points_text() : JSON.stringify({ modes, counters });
	} catch (error) {
		status = 400;
		body = `${error.message}\n`;
	}
	response.writeHead(status, { 'Content-Type': 'application/json' });
	response.end(body);
}

function on_request(request, response) {
	const exchange = { request, response, headers: {} };
	const [path, query_text] = request.url.split(/\?(.*)/s);
	response.on('error', () => {});
	if (path.startsWith('/control')) {
		double.read_all(request, (content) => control(request, response, content));
		return;
	}
	if (!request.socket.counted) {
		request.socket.counted = true;
		counters.connections++;
	}
	counters.requests++;
	exchange.path = path.length > 1 ? path.replace(/\/$/, '') : path;
	exchange.query = new Map(new URLSearchParams(query_text ?? ''));
	if (modes.auth && request.headers.authorization !== `Basic ${Buffer.from(modes.auth).toString('base64')}`) {
		exchange.headers['WWW-Authenticate'] = 'Basic realm="tsdb"';
		request.resume();
		reply_page(exchange, 401, 'Unauthorized', 'the proxy wants user and password');
		return;
	}
	if (refused_as_chunked(exchange))
		return;
	double.read_all(request, (content) => take(exchange, content));
}

double.listen(dir, modes, on_request, (socket) => socket.on('error', () => {}));
