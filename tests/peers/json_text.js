// SPDX-License-Identifier: Apache-2.0
// JSON as Jackson reads it for OpenTSDB: a number keeps its text (1e5, 0.20, 9223372036854775807), NaN
// and Infinity are numbers, what follows the first value is not looked at. Throws SyntaxError.
'use strict';

class NumberText {
	constructor(text) {
		this.text = text;
	}
}

class Reader {
	constructor(text) {
		this.text = text;
		this.at = 0;
	}

	fail(what) {
		throw new SyntaxError(`${what} at ${this.at}`);
	}

	space() {
		while (' \t\r\n'.includes(this.text[this.at] ?? 'x'))
			this.at++;
	}

	take(pattern) {
		pattern.lastIndex = this.at;
		const found = pattern.exec(this.text);
		if (found)
			this.at = pattern.lastIndex;
		return found && found[0];
	}

	value() {
		this.space();
		const c = this.text[this.at];
		if (c === '{')
			return this.object();
		if (c === '[')
			return this.array();
		if (c === '"')
			return this.string();
		const number = this.take(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_.])|NaN\b|[+-]?(?:Infinity|INF)\b/y);
		if (number)
			return new NumberText(number.replace(/^\+/, '').replace('INF', 'Infinity'));
		const word = this.take(/(?:true|false|null)\b/y);
		if (!word)
			this.fail('unexpected character');
		return { true: true, false: false, null: null }[word];
	}

	string() {
		const quoted = this.take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y);
		if (!quoted)
			this.fail('broken string');
		return JSON.parse(quoted);
	}

	array() {
		const values = [];
		this.at++;
		this.space();
		if (this.text[this.at] === ']') {
			this.at++;
			return values;
		}
		for (;;) {
			values.push(this.value());
			this.space();
			const c = this.text[this.at++];
			if (c === ']')
				return values;
			if (c !== ',')
				this.fail('expected , or ]');
		}
	}

	object() {
		const members = new Map();
		this.at++;
		this.space();
		if (this.text[this.at] === '}') {
			this.at++;
			return members;
		}
		for (;;) {
			this.space();
			if (this.text[this.at] !== '"')
				this.fail('expected a name');
			const name = this.string();
			this.space();
			if (this.text[this.at++] !== ':')
				this.fail('expected :');
			members.set(name, this.value());
			this.space();
			const c = this.text[this.at++];
			if (c === '}')
				return members;
			if (c !== ',')
				this.fail('expected , or }');
		}
	}
}

// Objects become Maps, numbers NumberTexts.
function parse(text) {
	return new Reader(text).value();
}

module.exports = { parse, NumberText };
