// SPDX-License-Identifier: Apache-2.0
// POST /db/_index and /db/_find of couchdb_double.js. Of the selectors only equality: {"a.b": 1, "c": {"$eq": 2}}.
'use strict';
const { CouchError, take_apart, digest } = require('./couchdb_store');

const missing_key = (name) => new CouchError(400, 'missing_required_key', `Missing required key: ${name}`);

function indexes(db) {
	const found = [{ ddoc: null, name: '_all_docs', type: 'special', def: { fields: [{ _id: 'asc' }] } }];
	for (const doc of db.docs.values()) {
		if (doc.deleted || !doc.id.startsWith('_design/') || doc.body.language !== 'query')
			continue;
		for (const [name, view] of Object.entries(doc.body.views ?? {}))
			found.push({ ddoc: doc.id, name, type: 'json', def: { fields: Object.entries(view.map.fields).map(([k, v]) => ({ [k]: v })) } });
	}
	return found;
}

function fields_of(index) {
	if (!Array.isArray(index?.fields) || index.fields.length === 0)
		throw missing_key('fields');
	return Object.fromEntries(index.fields.map((f) => (typeof f === 'string' ? [f, 'asc'] : Object.entries(f)[0])));
}

function create_index(store, db, body) {
	if (body.index === undefined)
		throw missing_key('index');
	const fields = fields_of(body.index), hash = digest('sha1', JSON.stringify(fields));
	const name = body.name ?? hash, id = `_design/${(body.ddoc ?? hash).replace(/^_design\//, '')}`;
	const old = db.docs.get(id), live = old && !old.deleted ? old : undefined;
	if (live && JSON.stringify(live.body.views?.[name]?.map.fields) === JSON.stringify(fields))
		return { result: 'exists', id, name };
	const view = { map: { fields, partial_filter_selector: {} }, reduce: '_count', options: { def: { fields: Object.keys(fields) } } };
	store.write_one(db, take_apart({
		_id: id, ...(live ? { _rev: live.rev } : {}), language: 'query', views: { ...live?.body.views, [name]: view },
	}));
	return { result: 'created', id, name };
}

function value_at(doc, field) {
	return field.split('.').reduce((v, k) => (v === null || typeof v !== 'object' ? undefined : v[k]), doc);
}

// [[field, value]...], all of which must hold.
function conditions(selector) {
	if (selector === undefined)
		throw missing_key('selector');
	if (selector === null || typeof selector !== 'object' || Array.isArray(selector))
		throw new CouchError(400, 'invalid_selector_json', 'Selector must be a JSON object');
	return Object.entries(selector).map(([field, value]) => {
		if (field.startsWith('$'))
			throw new CouchError(400, 'invalid_operator', `Invalid operator: ${field}`);
		if (value === null || typeof value !== 'object' || Array.isArray(value))
			return [field, value];
		const [operator, ...more] = Object.keys(value);
		if (operator !== '$eq' || more.length > 0)
			throw new CouchError(400, 'invalid_operator', `Invalid operator: ${operator}`);
		return [field, value.$eq];
	});
}

function find(db, body) {
	const wanted = conditions(body.selector), limit = body.limit ?? 25;
	if (!Number.isInteger(limit) || limit < 0)
		throw new CouchError(400, 'invalid_non_neg_integer', `${limit} is not a non-negative integer`);
	let from = '';
	if (body.bookmark && body.bookmark !== 'nil') {
		if (!body.bookmark.startsWith('g1AAAA'))
			throw new CouchError(400, 'invalid_bookmark', `Invalid bookmark value: ${JSON.stringify(body.bookmark)}`);
		from = Buffer.from(body.bookmark.slice(6), 'base64url').toString();
	}
	const ids = db.ids().filter((id) => !id.startsWith('_design/') && id > from);
	const matching = ids.map((id) => db.show(db.docs.get(id)))
		.filter((doc) => wanted.every(([f, v]) => JSON.stringify(value_at(doc, f)) === JSON.stringify(v)));
	const page = matching.slice(body.skip ?? 0, (body.skip ?? 0) + limit);
	const docs = page.map((doc) => (body.fields ? Object.fromEntries(body.fields.filter((f) => f in doc).map((f) => [f, doc[f]])) : doc));
	const answer = { docs, bookmark: page.length > 0 ? `g1AAAA${Buffer.from(page[page.length - 1]._id).toString('base64url')}` : 'nil' };
	const first_fields = indexes(db).map((i) => Object.keys(i.def.fields[0])[0]);
	if (!wanted.some(([f]) => first_fields.includes(f)))
		answer.warning = 'No matching index found, create an index to optimize query time.';
	return answer;
}

module.exports = { indexes, create_index, find };
