// SPDX-License-Identifier: Apache-2.0
// The databases of couchdb_double.js: documents with revisions, a sequence per database, and a journal that
// is on disk before anybody is told, so that a kill loses nothing that was answered.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

class CouchError extends Error {
	constructor(status, error, reason) {
		super(reason);
		this.status = status;
		this.error = error;
	}
}

const conflict = () => new CouchError(409, 'conflict', 'Document update conflict.');
const digest = (kind, text) => crypto.createHash(kind).update(text).digest('hex');

// By bytes, as _all_docs orders ids.
function compare_ids(a, b) {
	return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function generation(rev) {
	return Number(rev.split('-')[0]);
}

function check_id(id) {
	if (typeof id !== 'string')
		throw new CouchError(400, 'illegal_docid', 'Document id must be a string');
	if (id === '')
		throw new CouchError(400, 'illegal_docid', 'Document id must not be empty');
	if (id.startsWith('_') && !/^_(design|local)\/./.test(id))
		throw new CouchError(400, 'illegal_docid', 'Only reserved document ids may start with underscore.');
}

const SPECIAL = ['_id', '_rev', '_deleted', '_attachments', '_revisions', '_revs_info', '_conflicts'];

// {id, rev, deleted, body, attachments} of a document as it was sent.
function take_apart(doc) {
	if (doc === null || typeof doc !== 'object' || Array.isArray(doc))
		throw new CouchError(400, 'bad_request', 'Document must be a JSON object');
	const body = {};
	for (const [k, v] of Object.entries(doc)) {
		if (!k.startsWith('_'))
			body[k] = v;
		else if (!SPECIAL.includes(k))
			throw new CouchError(400, 'doc_validation', `Bad special document member: ${k}`);
	}
	if (doc._id !== undefined)
		check_id(doc._id);
	if (doc._rev !== undefined && (typeof doc._rev !== 'string' || !/^[0-9]+-./.test(doc._rev)))
		throw new CouchError(400, 'bad_request', 'Invalid rev format');
	return { id: doc._id, rev: doc._rev, deleted: doc._deleted === true, body, attachments: doc._attachments };
}

class Database {
	constructor(name, uuid) {
		this.name = name;
		this.uuid = uuid;
		this.seq = 0;
		this.docs = new Map(); // id: {id, rev, deleted, body, attachments, seq}
		this.revs = new Map(); // id: all revisions that it had
		this.locals = new Map(); // id: {rev, body}
		this.security = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
		this.listeners = new Set(); // of changes; called with nothing, or with true when the database is gone
	}

	// Opaque, as in a cluster: whoever counts with it, or compares it, is found out.
	seq_token(seq, lower = 0) {
		const mark = digest('md5', `${this.uuid} ${seq}`).slice(0, 12);
		return `${seq - lower}-g1AAAA${Buffer.from(JSON.stringify([this.uuid, seq, mark])).toString('base64url')}`;
	}

	// One of another incarnation of this database begins anew, as in a cluster whose shards are new.
	seq_of_token(token) {
		if (token === undefined || token === '0')
			return 0;
		if (token === 'now')
			return this.seq;
		const found = /^"?[0-9]+-g1AAAA([A-Za-z0-9_-]+)"?$/.exec(token);
		try {
			const [uuid, seq, mark] = JSON.parse(Buffer.from(found[1], 'base64url').toString());
			if (mark !== digest('md5', `${uuid} ${seq}`).slice(0, 12))
				throw new Error();
			return uuid === this.uuid ? seq : 0;
		} catch {
			throw new CouchError(400, 'bad_request', `Malformed sequence supplied in 'since' parameter.`);
		}
	}

	ids() {
		return [...this.docs.values()].filter((d) => !d.deleted).map((d) => d.id).sort(compare_ids);
	}

	changes_after(seq) {
		return [...this.docs.values()].filter((d) => d.seq > seq).sort((a, b) => a.seq - b.seq);
	}

	// As a reader sees it.
	show(doc) {
		const shown = { _id: doc.id, _rev: doc.rev };
		if (doc.deleted)
			shown._deleted = true;
		Object.assign(shown, doc.body);
		if (doc.attachments)
			shown._attachments = doc.attachments;
		return shown;
	}

	get(id) {
		const doc = this.docs.get(id);
		if (!doc || doc.deleted)
			throw new CouchError(404, 'not_found', doc ? 'deleted' : 'missing');
		return doc;
	}

	stubs(sent, old, generation_now) {
		if (sent.attachments === undefined)
			return undefined;
		const stubs = {};
		for (const [name, a] of Object.entries(sent.attachments)) {
			if (a.stub || a.follows) {
				if (!old?.attachments?.[name])
					throw new CouchError(412, 'missing_stub', `Invalid attachment stub in ${sent.id} for ${name}`);
				stubs[name] = old.attachments[name];
				continue;
			}
			const data = Buffer.from(a.data ?? '', 'base64');
			stubs[name] = {
				content_type: a.content_type ?? 'application/octet-stream', revpos: generation_now,
				digest: `md5-${crypto.createHash('md5').update(data).digest('base64')}`, length: data.length, stub: true,
			};
		}
		return stubs;
	}

	// The next revision of a document, or the error. Nothing is changed yet.
	next(sent) {
		const old = this.docs.get(sent.id);
		const live = old && !old.deleted;
		if (live ? sent.rev !== old.rev : sent.rev !== undefined && sent.rev !== old?.rev)
			throw conflict();
		const number = old ? generation(old.rev) + 1 : 1;
		const attachments = this.stubs(sent, old, number);
		const text = JSON.stringify([sent.deleted, old?.rev ?? 0, sent.body, attachments ?? {}]);
		return { id: sent.id, rev: `${number}-${digest('md5', text)}`, deleted: sent.deleted, body: sent.body, attachments };
	}
}

class Store {
	constructor(dir) {
		this.file = path.join(dir, 'journal');
		this.databases = new Map();
		this.replay();
		this.fd = fs.openSync(this.file, 'a');
	}

	replay() {
		if (!fs.existsSync(this.file))
			return;
		const text = fs.readFileSync(this.file, 'utf8');
		const whole = text.slice(0, text.lastIndexOf('\n') + 1);
		// What a kill cut short was not answered.
		fs.truncateSync(this.file, Buffer.byteLength(whole));
		for (const line of whole.split('\n'))
			if (line)
				for (const entry of JSON.parse(line))
					this.apply(entry);
	}

	apply(entry) {
		const db = this.databases.get(entry.db);
		switch (entry.op) {
		case 'create':
			this.databases.set(entry.db, new Database(entry.db, entry.uuid));
			break;
		case 'drop':
			this.databases.delete(entry.db);
			break;
		case 'doc':
			db.seq = entry.seq;
			db.docs.set(entry.doc.id, { ...entry.doc, seq: entry.seq });
			if (!db.revs.has(entry.doc.id))
				db.revs.set(entry.doc.id, new Set());
			db.revs.get(entry.doc.id).add(entry.doc.rev);
			break;
		case 'local':
			if (entry.doc)
				db.locals.set(entry.id, entry.doc);
			else
				db.locals.delete(entry.id);
			break;
		case 'security':
			db.security = entry.security;
			break;
		}
	}

	// One line of the journal: all of it or nothing.
	commit(entries) {
		if (entries.length === 0)
			return;
		fs.writeSync(this.fd, `${JSON.stringify(entries)}\n`);
		fs.fdatasyncSync(this.fd);
		for (const entry of entries)
			this.apply(entry);
	}

	database(name) {
		const db = this.databases.get(name);
		if (!db)
			throw new CouchError(404, 'not_found', 'Database does not exist.');
		return db;
	}

	create(name) {
		if (!/^[a-z][a-z0-9_$()+/-]*$/.test(name))
			throw new CouchError(400, 'illegal_database_name', `Name: '${name}'. Only lowercase characters (a-z), digits (0-9), ` +
				'and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.');
		if (this.databases.has(name))
			throw new CouchError(412, 'file_exists', 'The database could not be created, the file already exists.');
		this.commit([{ op: 'create', db: name, uuid: crypto.randomBytes(8).toString('hex') }]);
	}

	drop(name) {
		const db = this.database(name);
		this.commit([{ op: 'drop', db: name }]);
		for (const listener of [...db.listeners])
			listener(true);
	}

	// Many at once, each for itself: an array of {id, rev} and {id, error, reason}.
	write(db, sent_docs) {
		const entries = [], results = [], seen = new Set();
		let seq = db.seq;
		for (const sent of sent_docs) {
			try {
				if (seen.has(sent.id))
					throw conflict();
				const doc = db.next(sent);
				seen.add(sent.id);
				entries.push({ op: 'doc', db: db.name, seq: ++seq, doc });
				results.push({ ok: true, id: doc.id, rev: doc.rev });
			} catch (error) {
				if (!(error instanceof CouchError) || error.status !== 409)
					throw error;
				results.push({ id: sent.id, error: error.error, reason: error.message });
			}
		}
		this.commit(entries);
		if (entries.length > 0)
			for (const listener of [...db.listeners])
				listener(false);
		return results;
	}

	write_one(db, sent) {
		const [result] = this.write(db, [sent]);
		if (result.error)
			throw conflict();
		return result;
	}

	// Without a look at what is there, as in CouchDB: the new revision follows the one that was sent.
	write_local(db, sent, remove) {
		if (remove && !db.locals.has(sent.id))
			throw new CouchError(404, 'not_found', 'missing');
		const rev = remove ? '0-0' : `0-${Number(sent.rev?.split('-')[1] ?? 0) + 1}`;
		this.commit([{ op: 'local', db: db.name, id: sent.id, doc: remove ? null : { rev, body: sent.body } }]);
		return { ok: true, id: sent.id, rev };
	}
}

module.exports = { Store, CouchError, take_apart, check_id, compare_ids, digest };
