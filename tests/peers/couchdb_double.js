// SPDX-License-Identifier: Apache-2.0
// A small strict CouchDB 3: what pouchdb-server does not do, or does not refuse. It keeps what it answered over
// a kill. See double.js for how it is started and made to fail; its own modes:
//   users            {NAME: {"password": P, "admin": true}}; at first admin/adminpw and the plain ebb/ebbpw
//   require_valid_user   true: nothing but /_up without a name
//   cookie_timeout   seconds for which a cookie of /_session holds
//   index_forbidden  true: nobody but a server admin may make an index, whatever _security says; "all": nobody
//   disk_full        true: as CouchDB 3.4, an error per document in _bulk_docs and 507 else; 500 or 507: that
//                    status for every write; null: space enough
//   cut_feed         a continuous feed ends after so many bytes, in the middle of a line; null: does not
//   cut_feed_times   so often only, then null again; -1: until told otherwise
//   stubs_lost       true: attachments that a document keeps are not there any more; their stubs are 412
//   no_majority      true: _bulk_docs is answered 202, as by a cluster of which too few nodes have it
//   mute             true: open feeds are half-open, nothing arrives and nothing ends
//   lose_page        "gone" or "anew": the database is deleted, or also made again, before the next page of
//                    _all_docs that is not the first; then null again
//   seq_lower        so much less is what a database says of its sequence, as another node of a cluster does
//   version          "3.3.3"; what / says
//   max_document_size  bytes; CouchDB: 8000000
// GET /control: modes and counters; POST /control: set modes, and
//   drop_feeds       true: all open feeds are cut off
//   forget           ID: no database knows of it any more, as if set back to before it
//   expire_cookies   true: all cookies are worth nothing
'use strict';
const double = require('./double');
const feed = require('./couchdb_feed');
const mango = require('./couchdb_find');
const { Auth } = require('./couchdb_auth');
const { Store, CouchError, take_apart, check_id, compare_ids } = require('./couchdb_store');

const [dir, ...args] = process.argv.slice(2);
const modes = double.modes_of_arguments({
	users: { admin: { password: 'adminpw', admin: true }, ebb: { password: 'ebbpw' } },
	require_valid_user: false, cookie_timeout: 600, index_forbidden: false, disk_full: null,
	cut_feed: null, cut_feed_times: -1, stubs_lost: false, no_majority: false, mute: false, lose_page: null,
	seq_lower: 0, version: '3.3.3', max_document_size: 8000000,
}, args);
const auth = new Auth(modes), store = new Store(dir), feeds = new Set();
const counters = {
	connections: 0, requests: 0, sessions: 0, feeds: 0, bulk_docs: 0, documents: 0, written: 0, conflicts: 0, statuses: {},
};

class Exchange {
	constructor(request, response) {
		this.request = request;
		this.response = response;
		this.method = request.method;
		this.headers = { 'Cache-Control': 'must-revalidate', Server: `CouchDB/${modes.version} (double)` };
		const [path, query] = request.url.split(/\?(.*)/s);
		this.parts = path.split('/').slice(1).filter((p, i, all) => p !== '' || i < all.length - 1).map(decodeURIComponent);
		this.query = new Map(new URLSearchParams(query ?? ''));
	}

	send(status, body, more = {}) {
		counters.statuses[status] = (counters.statuses[status] ?? 0) + 1;
		const text = this.method === 'HEAD' || body === null ? '' : `${JSON.stringify(body)}\n`;
		double.send(modes, this.response, status, { 'Content-Type': 'application/json', ...this.headers, ...more }, text);
	}

	// As CouchDB streams: chunked, rows on lines of their own.
	stream(head, rows, tail) {
		counters.statuses[200] = (counters.statuses[200] ?? 0) + 1;
		const bytes = Buffer.from(`${head}[\r\n${rows.map((r) => JSON.stringify(r)).join(',\r\n')}\r\n]${tail}\n`);
		setTimeout(() => {
			this.response.writeHead(200, { 'Content-Type': 'application/json', ...this.headers });
			if (this.method === 'HEAD')
				this.response.end();
			else if (modes.slow)
				double.drip(this.response, bytes, () => this.response.end());
			else
				this.response.end(bytes);
		}, modes.delay_ms);
	}

	only(...methods) {
		if (!methods.includes(this.method)) {
			this.headers.Allow = methods.join(',');
			throw new CouchError(405, 'method_not_allowed', `Only ${methods.join(',')} allowed`);
		}
	}

	json_type() {
		const type = (this.request.headers['content-type'] ?? '').split(';')[0].trim();
		if (type !== 'application/json')
			throw new CouchError(415, 'bad_content_type', 'Content-Type must be application/json');
	}

	json() {
		try {
			return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(this.content));
		} catch {
			throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
		}
	}

	object() {
		const json = this.json();
		if (json === null || typeof json !== 'object' || Array.isArray(json))
			throw new CouchError(400, 'bad_request', 'Request body must be a JSON object');
		return json;
	}

	// A JSON value in the query.
	value(...names) {
		for (const name of names) {
			if (!this.query.has(name))
				continue;
			try {
				return JSON.parse(this.query.get(name));
			} catch {
				throw new CouchError(400, 'bad_request', 'invalid UTF-8 JSON');
			}
		}
		return undefined;
	}
}

function must_have_space() {
	if (modes.disk_full === 500)
		throw new CouchError(500, 'error', 'enospc');
	if (modes.disk_full)
		throw new CouchError(507, 'insufficient_storage', 'database_dir is too full');
}

function small_enough(doc) {
	if (JSON.stringify(doc).length > modes.max_document_size)
		throw new CouchError(413, 'document_too_large', String(doc._id ?? ''));
}

function count(results) {
	for (const r of results) {
		counters.documents++;
		counters[r.ok ? 'written' : 'conflicts']++;
	}
}

// --- the server

function session(exchange) {
	exchange.only('GET', 'HEAD', 'POST', 'DELETE');
	if (exchange.method === 'DELETE') {
		exchange.send(200, { ok: true }, { 'Set-Cookie': 'AuthSession=; Version=1; Path=/; HttpOnly' });
		return;
	}
	if (exchange.method === 'POST') {
		const type = (exchange.request.headers['content-type'] ?? '').split(';')[0].trim();
		const body = type === 'application/x-www-form-urlencoded' ?
			Object.fromEntries(new URLSearchParams(exchange.content.toString())) : (exchange.json_type(), exchange.object());
		counters.sessions++;
		const who = auth.check_password(body.name, body.password);
		exchange.send(200, { ok: true, name: who.name, roles: who.admin ? ['_admin'] : [] }, { 'Set-Cookie': auth.cookie(who.name) });
		return;
	}
	const { name, admin, by } = exchange.who;
	exchange.send(200, {
		ok: true, userCtx: { name, roles: admin ? ['_admin'] : [] },
		info: { authentication_handlers: ['cookie', 'default'], ...(by ? { authenticated: by } : {}) },
	});
}

const SERVER = {
	'': (x) => {
		x.only('GET', 'HEAD');
		x.send(200, {
			couchdb: 'Welcome', version: modes.version, git_sha: 'double', uuid: 'd0ub1e',
			features: ['access-ready', 'partitioned', 'pluggable-storage-engines', 'reshard', 'scheduler'], vendor: { name: 'tests/peers' },
		});
	},
	_up: (x) => {
		x.only('GET', 'HEAD');
		x.send(200, { status: 'ok', seeds: {} });
	},
	_session: session,
	_all_dbs: (x) => {
		x.only('GET', 'HEAD');
		auth.must_be_server_admin(x.who);
		x.send(200, [...store.databases.keys()].sort());
	},
	_uuids: (x) => {
		x.only('GET');
		x.send(200, { uuids: Array.from({ length: Number(x.query.get('count') ?? 1) }, () => new_id()) });
	},
};

function new_id() {
	return require('crypto').randomBytes(16).toString('hex');
}

// --- one database

function database(x, name) {
	if (x.method === 'PUT') {
		auth.must_be_server_admin(x.who);
		must_have_space();
		store.create(name);
		x.send(201, { ok: true }, { Location: `http://${x.request.headers.host}/${encodeURIComponent(name)}` });
		return;
	}
	if (x.method === 'DELETE') {
		auth.must_be_server_admin(x.who);
		if (x.query.has('rev'))
			throw new CouchError(400, 'bad_request', 'You tried to DELETE a database with a ?rev= parameter. Did you mean to DELETE a document instead?');
		store.drop(name);
		x.send(200, { ok: true });
		return;
	}
	x.only('GET', 'HEAD', 'PUT', 'DELETE', 'POST');
	const db = store.database(name);
	auth.must_be_in(x.who, db, 'members');
	if (x.method === 'POST') {
		x.json_type();
		const doc = x.json(), sent = take_apart(doc);
		small_enough(doc);
		must_have_space();
		sent.id ??= new_id();
		const result = store.write_one(db, sent);
		count([result]);
		x.send(201, result, { ETag: `"${result.rev}"` });
		return;
	}
	const all = [...db.docs.values()], deleted = all.filter((d) => d.deleted).length;
	x.send(200, {
		instance_start_time: '0', db_name: name, purge_seq: '0-g1AAAA', update_seq: db.seq_token(db.seq, modes.seq_lower),
		sizes: { file: 0, external: 0, active: 0 }, props: {}, doc_del_count: deleted, doc_count: all.length - deleted,
		disk_format_version: 8, compact_running: false, cluster: { q: 2, n: 1, w: 1, r: 1 },
	});
}

function all_docs(x, db) {
	x.only('GET', 'HEAD', 'POST');
	const given = x.method === 'POST' ? (x.json_type(), x.object()) : {};
	const include_docs = x.query.get('include_docs') === 'true' || given.include_docs === true;
	const row = (doc) => ({ id: doc.id, key: doc.id, value: { rev: doc.rev }, ...(include_docs ? { doc: db.show(doc) } : {}) });
	const keys = given.keys ?? x.value('keys'), ids = db.ids();
	if (keys !== undefined) {
		if (!Array.isArray(keys))
			throw new CouchError(400, 'bad_request', '`keys` parameter must be an array.');
		const rows = keys.map((key) => {
			const doc = db.docs.get(key);
			if (!doc)
				return { key, error: 'not_found' };
			if (doc.deleted)
				return { id: key, key, value: { rev: doc.rev, deleted: true }, ...(include_docs ? { doc: null } : {}) };
			return row(doc);
		});
		x.stream(`{"total_rows":${ids.length},"offset":null,"rows":`, rows, '}');
		return;
	}
	const start = x.value('startkey', 'start_key') ?? given.startkey ?? given.start_key;
	if (modes.lose_page && start !== undefined) {
		const anew = modes.lose_page === 'anew';
		modes.lose_page = null;
		store.drop(db.name);
		if (anew)
			store.create(db.name);
		all_docs(x, store.database(db.name));
		return;
	}
	const end = x.value('endkey', 'end_key') ?? given.endkey ?? given.end_key, key = x.value('key') ?? given.key;
	const descending = x.query.get('descending') === 'true', sign = descending ? -1 : 1;
	if (descending)
		ids.reverse();
	const chosen = ids.filter((id) => (start === undefined || sign * compare_ids(id, start) >= 0) &&
		(end === undefined || sign * compare_ids(id, end) < (x.query.get('inclusive_end') === 'false' ? 0 : 1)) &&
		(key === undefined || id === key));
	const skip = given.skip ?? feed.number_of(x.query, 'skip', 0), limit = given.limit ?? feed.number_of(x.query, 'limit', Infinity);
	const offset = chosen.length > 0 ? ids.indexOf(chosen[0]) + skip : ids.length;
	x.stream(`{"total_rows":${ids.length},"offset":${offset},"rows":`, chosen.slice(skip, skip + limit).map((id) => row(db.docs.get(id))), '}');
}

function bulk_docs(x, db) {
	x.only('POST');
	x.json_type();
	const body = x.object();
	if (!('docs' in body))
		throw new CouchError(400, 'bad_request', 'POST body must include `docs` parameter.');
	if (!Array.isArray(body.docs))
		throw new CouchError(400, 'bad_request', '`docs` parameter must be an array.');
	if (body.new_edits === false)
		throw new CouchError(400, 'bad_request', 'the double does not replicate');
	const sent = body.docs.map((doc) => {
		const s = take_apart(doc);
		small_enough(doc);
		s.id ??= new_id();
		return s;
	});
	counters.bulk_docs++;
	if (modes.disk_full === true) {
		x.send(201, sent.map((s) => ({ id: s.id, error: 'insufficient_storage', reason: 'database_dir is too full' })));
		return;
	}
	must_have_space();
	for (const s of modes.stubs_lost ? sent : [])
		for (const [name, a] of Object.entries(s.attachments ?? {}))
			if (a.stub)
				throw new CouchError(412, 'missing_stub', `Invalid attachment stub in ${s.id} for ${name}`);
	const results = store.write(db, sent);
	count(results);
	x.send(modes.no_majority ? 202 : 201, results);
}

function changes(x, db) {
	x.only('GET', 'POST');
	if (x.method === 'POST')
		x.json_type();
	counters.feeds++;
	const open = feed.prepare(modes, feeds, db, x.query);
	setTimeout(() => open(x.response, { 'Transfer-Encoding': 'chunked', ...x.headers }), modes.delay_ms);
}

function index(x, db) {
	x.only('GET', 'POST', 'DELETE');
	if (x.method === 'GET') {
		const all = mango.indexes(db);
		x.send(200, { total_rows: all.length, indexes: all });
		return;
	}
	if (modes.index_forbidden === 'all' || (modes.index_forbidden && !x.who.admin))
		throw new CouchError(403, 'forbidden', 'You are not a db or server admin.');
	auth.must_be_in(x.who, db, 'admins');
	if (x.method === 'DELETE')
		throw new CouchError(405, 'method_not_allowed', 'the double keeps its indexes');
	x.json_type();
	const body = x.object();
	must_have_space();
	x.send(200, mango.create_index(store, db, body));
}

function find(x, db) {
	x.only('POST');
	x.json_type();
	const { docs, ...rest } = mango.find(db, x.object());
	x.stream('{"docs":', docs, `,\r\n${JSON.stringify(rest).slice(1)}`);
}

function local(x, db, name) {
	const id = `_local/${name}`;
	x.only('GET', 'HEAD', 'PUT', 'DELETE');
	if (x.method === 'GET' || x.method === 'HEAD') {
		const doc = db.locals.get(id);
		if (!doc)
			throw new CouchError(404, 'not_found', 'missing');
		x.send(200, { _id: id, _rev: doc.rev, ...doc.body });
		return;
	}
	must_have_space();
	if (x.method === 'DELETE') {
		x.send(200, store.write_local(db, { id }, true));
		return;
	}
	x.send(201, store.write_local(db, take_apart({ ...x.object(), _id: id }), false));
}

const DATABASE = {
	_all_docs: all_docs,
	_bulk_docs: bulk_docs,
	_changes: changes,
	_index: index,
	_find: find,
	_compact: (x, db) => {
		x.only('POST');
		auth.must_be_in(x.who, db, 'admins');
		x.json_type();
		x.send(202, { ok: true });
	},
	_ensure_full_commit: (x) => {
		x.only('POST');
		x.json_type();
		x.send(201, { ok: true, instance_start_time: '0' });
	},
	_revs_diff: (x, db) => {
		x.only('POST');
		x.json_type();
		const lacks = {};
		for (const [id, revs] of Object.entries(x.object())) {
			const missing = revs.filter((rev) => !db.revs.get(id)?.has(rev));
			if (missing.length > 0)
				lacks[id] = { missing };
		}
		x.send(200, lacks);
	},
	_security: (x, db) => {
		x.only('GET', 'PUT');
		if (x.method === 'GET') {
			x.send(200, db.security);
			return;
		}
		auth.must_be_in(x.who, db, 'admins');
		store.commit([{ op: 'security', db: db.name, security: x.object() }]);
		x.send(200, { ok: true });
	},
};

// --- one document

function asked_rev(x, in_body) {
	const match = /^"?([^"]*)"?$/.exec(x.request.headers['if-match'] ?? '');
	const revs = [...new Set([x.query.get('rev'), match?.[1] || undefined, in_body].filter((r) => r !== undefined))];
	if (revs.length > 1)
		throw new CouchError(400, 'bad_request', 'Document rev from request body and query string have different values');
	return revs[0];
}

function document(x, db, id) {
	check_id(id);
	x.only('GET', 'HEAD', 'PUT', 'DELETE');
	if (x.method === 'GET' || x.method === 'HEAD') {
		if (x.query.get('open_revs') === 'all') {
			const leaf = db.docs.get(id);
			x.send(200, leaf ? [{ ok: db.show(leaf) }] : []);
			return;
		}
		const doc = db.get(id);
		if (x.query.has('rev') && x.query.get('rev') !== doc.rev)
			throw new CouchError(404, 'not_found', 'missing');
		const etag = { ETag: `"${doc.rev}"` };
		if (x.request.headers['if-none-match'] === etag.ETag)
			x.send(304, null, etag);
		else
			x.send(200, db.show(doc), etag);
		return;
	}
	if (id.startsWith('_design/'))
		auth.must_be_in(x.who, db, 'admins');
	let sent;
	if (x.method === 'DELETE') {
		db.get(id);
		sent = { id, rev: asked_rev(x), deleted: true, body: {} };
	} else {
		const doc = x.json();
		sent = { ...take_apart(doc), id };
		small_enough(doc);
		sent.rev = asked_rev(x, sent.rev);
	}
	if (sent.rev !== undefined && !/^[0-9]+-./.test(sent.rev))
		throw new CouchError(400, 'bad_request', 'Invalid rev format');
	must_have_space();
	let result;
	try {
		result = store.write_one(db, sent);
	} catch (error) {
		counters.documents++;
		counters.conflicts++;
		throw error;
	}
	count([result]);
	x.send(x.method === 'PUT' ? 201 : 200, result, { ETag: `"${result.rev}"` });
}

// --- what comes in

function route(x) {
	const [first, second, ...rest] = x.parts;
	if (first === undefined || (x.parts.length === 1 && first in SERVER)) {
		SERVER[first ?? ''](x);
		return;
	}
	if (second === undefined) {
		database(x, first);
		return;
	}
	const db = store.database(first);
	auth.must_be_in(x.who, db, 'members');
	if (second === '_local')
		local(x, db, rest.join('/'));
	else if (second === '_design')
		document(x, db, `_design/${rest.join('/')}`);
	else if (second in DATABASE && rest.length === 0)
		DATABASE[second](x, db);
	else if (rest.length === 0)
		document(x, db, second);
	else
		throw new CouchError(404, 'not_found', 'Document is missing attachment');
}

const ERRORS = {
	429: ['too_many_requests', 'You have exceeded your current limit of requests per second. Please try later.'],
	500: ['internal_server_error', 'No DB shards could be opened.'],
	503: ['service unavailable', 'Nodes are unable to service this request due to overloading or maintenance mode.'],
	507: ['insufficient_storage', 'database_dir is too full'],
};

function hang_up(x) {
	x.request.socket.destroy();
}

// What the modes make of a request; true when that was all.
function failed(x) {
	const failing = double.failure(modes, x.request);
	if (failing === null)
		return false;
	if (failing === 'hang')
		return true;
	if (failing === 'close') {
		hang_up(x);
		return true;
	}
	if (failing === 'reset') {
		x.request.socket.resetAndDestroy?.();
		hang_up(x);
		return true;
	}
	if (failing === 'lost') {
		x.response.writeHead = () => hang_up(x);
		return false;
	}
	if (modes.retry_after !== null)
		x.headers['Retry-After'] = String(modes.retry_after);
	const [error, reason] = ERRORS[failing] ?? ['error', 'told to fail'];
	x.send(failing, { error, reason });
	return true;
}

function take(x) {
	try {
		if (failed(x))
			return;
		x.who = auth.who(x.request, x.headers);
		if (modes.require_valid_user && x.who.name === null && !['_up', '_session'].includes(x.parts[0]))
			throw new CouchError(401, 'unauthorized', 'Authentication required.');
		route(x);
	} catch (error) {
		if (!(error instanceof CouchError)) {
			console.error(error);
			x.send(500, { error: 'unknown_error', reason: String(error.message) });
			return;
		}
		if (error.status === 401 && !x.request.headers.cookie)
			x.headers['WWW-Authenticate'] = 'Basic realm="administrator"';
		x.send(error.status, { error: error.error, reason: error.message });
	}
}

function control(request, response, content) {
	let status = 200, body;
	try {
		if (request.method === 'POST') {
			const { drop_feeds, expire_cookies, forget, ...changes_of_modes } = JSON.parse(content.toString());
			double.set_modes(modes, changes_of_modes);
			for (const db of store.databases.values()) {
				db.docs.delete(forget);
				db.revs.delete(forget);
			}
			if (expire_cookies)
				auth.expire();
			if (drop_feeds)
				for (const response_of_feed of feeds)
					response_of_feed.destroy();
		}
		body = JSON.stringify({ modes, counters: { ...counters, feeds_open: feeds.size } });
	} catch (error) {
		status = 400;
		body = `${error.message}\n`;
	}
	response.writeHead(status, { 'Content-Type': 'application/json' });
	response.end(body);
}

function on_request(request, response) {
	response.on('error', () => {});
	if (request.headers.expect)
		response.writeContinue();
	if (request.url.split('?')[0] === '/control') {
		double.read_all(request, (content) => control(request, response, content));
		return;
	}
	if (!request.socket.counted) {
		request.socket.counted = true;
		counters.connections++;
	}
	counters.requests++;
	double.read_all(request, (content) => {
		let x;
		try {
			x = new Exchange(request, response);
		} catch {
			response.writeHead(400);
			response.end();
			return;
		}
		x.content = content;
		take(x);
	});
}

double.listen(dir, modes, on_request, (socket) => socket.on('error', () => {}));
