// SPDX-License-Identifier: Apache-2.0
// What the doubles have in common: modes from the command line and from POST /control, a listener on
// a free port of loopback (the same one after a restart), TLS, and how a request can be made to fail.
//
//   node X_double.js DIR [MODE=VALUE...]      VALUE is JSON, or else a string
//
// Modes that both know:
//   tls          true: https, with a certificate for 127.0.0.1 by a CA of its own, DIR/ca.pem;
//                "elsewhere": one for another name
//   fail         what becomes of a request: a status (503), "close" (read, then closed without an answer),
//                "reset", "hang" (never answered), "lost" (done, then closed without an answer); null: nothing
//   fail_next    so many requests only, then null again; -1: until told otherwise
//   fail_path    only requests whose path contains this
//   retry_after  seconds, sent along with a failure
//   delay_ms     every answer comes so much later
//   slow         true: answers go out one byte per millisecond
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const path = require('path');
const { execFileSync } = require('child_process');

const common = {
	tls: false, fail: null, fail_next: -1, fail_path: '', retry_after: null, delay_ms: 0, slow: false,
};

function set_modes(modes, changes) {
	for (const [name, value] of Object.entries(changes)) {
		if (!(name in modes))
			throw new Error(`unknown mode "${name}"; there are ${Object.keys(modes).join(', ')}`);
		modes[name] = value;
	}
}

function modes_of_arguments(defaults, args) {
	const modes = { ...common, ...defaults };
	for (const arg of args) {
		const [, name, text] = /^([^=]*)=?(.*)$/s.exec(arg);
		let value = text;
		try {
			value = JSON.parse(text);
		} catch {
			// A plain word.
		}
		set_modes(modes, { [name]: value });
	}
	return modes;
}

function openssl(dir, ...args) {
	execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
}

// A CA and a server's certificate, made once per directory.
function certificates(dir, tls) {
	if (!fs.existsSync(path.join(dir, 'server.pem'))) {
		const name = tls === 'elsewhere' ? 'DNS:elsewhere.invalid' : 'IP:127.0.0.1,DNS:localhost';
		const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
		fs.writeFileSync(path.join(dir, 'server.ext'), `subjectAltName=${name}\n`);
		openssl(dir, 'req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2',
			'-subj', '/CN=CA of the tests', '-addext', 'basicConstraints=critical,CA:TRUE');
		openssl(dir, 'req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=server');
		openssl(dir, 'x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key',
			'-set_serial', String(Date.now()), '-days', '2', '-extfile', 'server.ext', '-out', 'server.pem');
	}
	return {
		key: fs.readFileSync(path.join(dir, 'server.key')),
		cert: fs.readFileSync(path.join(dir, 'server.pem')),
	};
}

function listen(dir, modes, on_request, on_connection) {
	const server = modes.tls ?
		https.createServer(certificates(dir, modes.tls), on_request) : http.createServer(on_request);
	// As the servers that are played: a connection stays open for as long as the client wants.
	server.keepAliveTimeout = 0;
	server.headersTimeout = 0;
	server.requestTimeout = 0;
	server.on('checkContinue', on_request);
	server.on(modes.tls ? 'secureConnection' : 'connection', on_connection);
	const port_file = path.join(dir, 'port');
	const port = fs.existsSync(port_file) ? Number(fs.readFileSync(port_file, 'utf8')) : 0;
	server.listen(port, '127.0.0.1', () => {
		const got = server.address().port;
		fs.writeFileSync(port_file, `${got}\n`);
		fs.writeFileSync(path.join(dir, 'address.new'), `${modes.tls ? 'https' : 'http'}://127.0.0.1:${got}\n`);
		fs.renameSync(path.join(dir, 'address.new'), path.join(dir, 'address'));
	});
	return server;
}

// The failure that is due for this request, and counts it; null: none.
function failure(modes, request) {
	if (modes.fail === null || modes.fail_next === 0 || !request.url.includes(modes.fail_path))
		return null;
	const what = modes.fail;
	if (modes.fail_next > 0 && --modes.fail_next === 0) {
		modes.fail = null;
		modes.fail_next = -1;
	}
	return what;
}

function read_all(request, done) {
	const pieces = [];
	request.on('data', (piece) => pieces.push(piece));
	request.on('end', () => done(Buffer.concat(pieces)));
	request.on('error', () => {});
}

// Sends an answer, late or slowly as the modes say. `headers` without Content-Length.
function send(modes, response, status, headers, body) {
	const bytes = Buffer.from(body);
	const go = () => {
		if (response.destroyed)
			return;
		response.writeHead(status, { ...headers, 'Content-Length': bytes.length });
		if (modes.slow)
			drip(response, bytes, () => response.end());
		else
			response.end(bytes);
	};
	if (modes.delay_ms > 0)
		setTimeout(go, modes.delay_ms);
	else
		go();
}

// One byte per millisecond.
function drip(response, bytes, done, from = 0) {
	if (response.destroyed)
		return;
	if (from >= bytes.length) {
		done();
		return;
	}
	response.write(bytes.subarray(from, from + 1));
	setTimeout(() => drip(response, bytes, done, from + 1), 1);
}

module.exports = { modes_of_arguments, set_modes, listen, failure, read_all, send, drip };
