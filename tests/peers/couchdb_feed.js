// SPDX-License-Identifier: Apache-2.0
// GET /db/_changes of couchdb_double.js: normal, longpoll and continuous.
'use strict';
const { CouchError } = require('./couchdb_store');

function row_text(db, doc, include_docs) {
	const row = { seq: db.seq_token(doc.seq), id: doc.id, changes: [{ rev: doc.rev }] };
	if (doc.deleted)
		row.deleted = true;
	if (include_docs)
		row.doc = db.show(doc);
	return JSON.stringify(row);
}

function number_of(query, name, standard) {
	const text = query.get(name);
	if (text === undefined)
		return standard;
	if (!/^[0-9]+$/.test(text))
		throw new CouchError(400, 'query_parse_error', `Invalid value for ${name}: ${text}`);
	return Number(text);
}

// One open answer: bytes go out whole, one per millisecond, or not beyond `cut_feed`.
class Feed {
	constructor(modes, lasts, response, headers) {
		this.modes = modes;
		this.lasts = lasts;
		this.response = response;
		this.queue = [];
		this.sent = 0;
		this.cut = modes.cut_feed;
		response.writeHead(200, headers);
		response.flushHeaders();
	}

	write(text) {
		// Half open: neither changes nor heartbeats arrive, and nobody is told.
		if ((this.modes.mute && this.lasts) || this.response.destroyed)
			return;
		let bytes = Buffer.from(text);
		if (this.cut !== null && this.sent + bytes.length >= this.cut) {
			bytes = bytes.subarray(0, this.cut - this.sent);
			this.response.write(bytes, () => this.response.destroy());
			this.cut = Infinity;
			if (this.modes.cut_feed_times > 0 && --this.modes.cut_feed_times === 0) {
				this.modes.cut_feed = null;
				this.modes.cut_feed_times = -1;
			}
			return;
		}
		this.sent += bytes.length;
		if (!this.modes.slow && this.queue.length === 0) {
			this.response.write(bytes);
			return;
		}
		this.queue.push(...bytes);
		if (this.queue.length === bytes.length)
			this.drip();
	}

	drip() {
		if (this.queue.length === 0 || this.response.destroyed) {
			if (this.ending)
				this.response.end();
			return;
		}
		this.response.write(Buffer.from([this.queue[0]]));
		setTimeout(() => {
			this.queue.shift();
			this.drip();
		}, 1);
	}

	end() {
		this.ending = true;
		if (this.queue.length === 0)
			this.response.end();
	}
}

// Checks what is asked for; the function that it returns then answers. `feeds`: a Set that knows the open ones.
function prepare(modes, feeds, db, query) {
	const style = query.get('feed') ?? 'normal', include_docs = query.get('include_docs') === 'true';
	if (!['normal', 'longpoll', 'continuous'].includes(style))
		throw new CouchError(400, 'bad_request', `the double has no feed ${style}`);
	if (query.has('filter'))
		throw new CouchError(400, 'bad_request', 'the double has no filters');
	const limit = number_of(query, 'limit', Infinity), timeout = number_of(query, 'timeout', 60000);
	const heartbeat = query.get('heartbeat') === 'true' ? 60000 : number_of(query, 'heartbeat', 0);
	if (query.has('heartbeat') && heartbeat <= 0)
		throw new CouchError(400, 'bad_request', 'The heartbeat value should be a positive integer (in milliseconds).');
	const since = db.seq_of_token(query.get('since'));
	const how = { style, include_docs, limit, timeout, heartbeat, since };
	return (response, headers) => answer(modes, feeds, db, how, response, headers);
}

function answer(modes, feeds, db, { style, include_docs, limit, timeout, heartbeat, since }, response, headers) {
	let at = since, left = limit;
	const feed = new Feed(modes, style !== 'normal', response, { ...headers, 'Content-Type': 'application/json' });
	const last = (pending) => `"last_seq":"${db.seq_token(at)}","pending":${pending}`;

	if (style !== 'continuous') {
		const give = () => {
			const rows = db.changes_after(at), given = rows.slice(0, left);
			feed.write(`{"results":[\n${given.map((d) => row_text(db, d, include_docs)).join(',\n')}\n],\n`);
			at = given.length > 0 ? given[given.length - 1].seq : Math.max(at, db.seq);
			feed.write(`${last(rows.length - given.length)}}\n`);
			feed.end();
		};
		if (style === 'normal' || db.changes_after(at).length > 0)
			give();
		else
			wait_for_one(feed, feeds, db, timeout, heartbeat, response, give);
		return;
	}

	let timer = null;
	const finish = () => {
		stop();
		feed.write(`{${last(0)}}\n`);
		feed.end();
	};
	const arm = () => {
		clearTimeout(timer);
		timer = heartbeat > 0 ? setTimeout(() => {
			feed.write('\n');
			arm();
		}, heartbeat) : setTimeout(finish, timeout);
	};
	const listen = (gone) => {
		if (gone) {
			stop();
			feed.end();
			return;
		}
		for (const doc of db.changes_after(at)) {
			if (left-- <= 0)
				break;
			at = doc.seq;
			feed.write(`${row_text(db, doc, include_docs)}\n`);
		}
		if (left <= 0)
			finish();
		else
			arm();
	};
	const stop = () => {
		clearTimeout(timer);
		db.listeners.delete(listen);
		feeds.delete(response);
	};
	feeds.add(response);
	db.listeners.add(listen);
	response.on('close', stop);
	listen(false);
}

function wait_for_one(feed, feeds, db, timeout, heartbeat, response, give) {
	const beat = heartbeat > 0 ? setInterval(() => feed.write('\n'), heartbeat) : null;
	const end = () => {
		clearInterval(beat);
		clearTimeout(timer);
		db.listeners.delete(done);
		feeds.delete(response);
	};
	const done = () => {
		end();
		give();
	};
	const timer = heartbeat > 0 ? null : setTimeout(done, timeout);
	feeds.add(response);
	db.listeners.add(done);
	response.on('close', end);
}

module.exports = { prepare, number_of };
