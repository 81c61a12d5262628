// SPDX-License-Identifier: Apache-2.0
// Who asks: couchdb_double.js's users, by name and password or by a cookie that ends.
'use strict';
const crypto = require('crypto');
const { CouchError } = require('./couchdb_store');

class Auth {
	constructor(modes) {
		this.modes = modes;
		this.secret = crypto.randomBytes(16).toString('hex');
	}

	// Every cookie given out so far is worth nothing from now on.
	expire() {
		this.secret = crypto.randomBytes(16).toString('hex');
	}

	sign(name, time) {
		return crypto.createHmac('sha1', this.secret).update(`${name}:${time}`).digest('hex');
	}

	cookie(name) {
		const time = Math.trunc(Date.now() / 1000).toString(16).toUpperCase();
		const value = Buffer.from(`${name}:${time}:${this.sign(name, time)}`).toString('base64url');
		return `AuthSession=${value}; Version=1; Expires=${new Date(Date.now() + this.modes.cookie_timeout * 1000).toUTCString()}; ` +
			`Max-Age=${this.modes.cookie_timeout}; Path=/; HttpOnly`;
	}

	check_password(name, password) {
		const user = this.modes.users[name];
		if (!user || user.password !== password)
			throw new CouchError(401, 'unauthorized', 'Name or password is incorrect.');
		return { name, admin: user.admin === true };
	}

	// {name (null: nobody), admin, by}; a cookie that has expired is nobody's. `headers` may get a new cookie.
	who(request, headers) {
		const basic = /^Basic (.*)$/i.exec(request.headers.authorization ?? '');
		if (basic) {
			const [, name, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic[1], 'base64').toString()) ?? [];
			return { ...this.check_password(name, password), by: 'default' };
		}
		const cookie = /(?:^|;\s*)AuthSession=([^;]*)/.exec(request.headers.cookie ?? '');
		if (!cookie || cookie[1] === '')
			return { name: null, admin: false };
		const [, name, time, hash] = /^(.*):([0-9A-F]+):([0-9a-f]+)$/.exec(Buffer.from(cookie[1], 'base64url').toString()) ?? [];
		if (!hash)
			throw new CouchError(400, 'bad_request', 'Malformed AuthSession cookie. Please clear your cookies.');
		const left = parseInt(time, 16) + this.modes.cookie_timeout - Date.now() / 1000;
		const user = this.modes.users[name];
		if (!user || hash !== this.sign(name, time) || left <= 0)
			return { name: null, admin: false };
		if (left < this.modes.cookie_timeout * 0.9)
			headers['Set-Cookie'] = this.cookie(name);
		return { name, admin: user.admin === true, by: 'cookie' };
	}

	must_be_server_admin(who) {
		if (!who.admin)
			throw new CouchError(401, 'unauthorized', 'You are not a server admin.');
	}

	// `part`: "members" or "admins" of the database's _security.
	must_be_in(who, db, part) {
		const named = (p) => db.security[p]?.names?.includes(who.name);
		if (who.admin || named('admins') || (part === 'members' && named('members')))
			return;
		const what = part === 'members' ?
			`You are not ${who.name === null ? 'authorized' : 'allowed'} to access this db.` : 'You are not a db or server admin.';
		throw who.name === null ? new CouchError(401, 'unauthorized', what) : new CouchError(403, 'forbidden', what);
	}
}

module.exports = { Auth };
