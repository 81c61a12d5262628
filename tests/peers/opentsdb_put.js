// SPDX-License-Identifier: Apache-2.0
// What OpenTSDB 2.4 makes of one data point: the checks in their order, and their words.
'use strict';
const { parse, NumberText } = require('./json_text');

const MAX_TAGS = 8;
const LONG_MAX = 2n ** 63n - 1n, LONG_MIN = -(2n ** 63n);

// A request that is refused as a whole.
class Refused extends Error {}
// A point that is.
class Rejected extends Error {}

// Jackson's coercions: what has no place in the field breaks the whole request.
function to_text(value) {
	if (value === undefined || value === null)
		return null;
	if (value instanceof NumberText)
		return value.text;
	if (typeof value === 'string' || typeof value === 'boolean')
		return String(value);
	throw new Refused('Unable to parse the given JSON');
}

function to_long(value) {
	let digits = null;
	if (value === undefined || value === null || value === '')
		return 0n;
	if (value instanceof NumberText) {
		if (/^-?[0-9]+$/.test(value.text))
			digits = value.text;
		else if (Number.isFinite(Number(value.text)))
			digits = BigInt(Math.trunc(Number(value.text))).toString();
	} else if (typeof value === 'string' && /^[+-]?[0-9]+$/.test(value.trim())) {
		digits = value.trim().replace(/^\+/, '');
	}
	if (digits === null || BigInt(digits) > LONG_MAX || BigInt(digits) < LONG_MIN)
		throw new Refused('Unable to parse the given JSON');
	return BigInt(digits);
}

function to_point(value) {
	if (value === null)
		return null;
	if (!(value instanceof Map))
		throw new Refused('Unable to parse the given JSON');
	const tags = value.get('tags');
	if (tags !== undefined && tags !== null && !(tags instanceof Map))
		throw new Refused('Unable to parse the given JSON');
	return {
		metric: to_text(value.get('metric')),
		timestamp: to_long(value.get('timestamp')),
		value: to_text(value.get('value')),
		tags: tags ? new Map([...tags].map(([k, v]) => [k, to_text(v)])) : null,
	};
}

// The points of a body, or Refused.
function parse_body(content) {
	if (content.length === 0)
		throw new Refused('Missing request content');
	const text = content.toString('utf8').trim();
	if (text[0] !== '{' && text[0] !== '[')
		throw new Refused('The JSON must start as an object or an array');
	let json;
	try {
		json = parse(text);
	} catch (error) {
		throw new Refused('Unable to parse the given JSON');
	}
	const points = (Array.isArray(json) ? json : [json]).map(to_point);
	if (points.length === 0)
		throw new Refused('No datapoints found in content');
	return points;
}

function tags_text(tags) {
	return `{${[...tags].map(([k, v]) => `${k}=${v}`).join(', ')}}`;
}

// Digits with a sign; what has none of . e E is never anything else.
function parse_long(text) {
	if (!/^[+-]?[0-9]+$/.test(text) || text.length > (/^[+-]/.test(text) ? 20 : 19))
		throw new Rejected('Unable to parse value to a number');
	const value = BigInt(text.replace(/^\+/, ''));
	if (value > LONG_MAX || value < LONG_MIN)
		throw new Rejected('Unable to parse value to a number');
	return value;
}

// As Java's Double.parseDouble: blanks around it, a d or f behind it, hexadecimal with an exponent.
function parse_double(text) {
	const trimmed = text.replace(/^[\u0000-\u0020]+|[\u0000-\u0020]+$/g, '');
	const decimal = /^([+-]?)((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?$/.exec(trimmed);
	if (decimal)
		return Number(decimal[1] + decimal[2]);
	const hex = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?[0-9]+)[fFdD]?$/.exec(trimmed);
	if (hex && hex[2].length + hex[3].length > 0) {
		const digits = Number(`0x${hex[2]}${hex[3]}`);
		return (hex[1] === '-' ? -1 : 1) * digits * 2 ** (Number(hex[4]) - 4 * hex[3].length);
	}
	throw new Rejected('Unable to parse value to a number');
}

function check_string(what, text) {
	if (text === null)
		throw new Rejected(`Invalid ${what}: null`);
	if (text === '')
		throw new Rejected(`Invalid ${what}: empty string`);
	// By UTF-16 units, as Java looks at it: what needs two of them is no letter.
	for (let i = 0; i < text.length; i++)
		if (!/^[a-zA-Z0-9\-_./\p{L}]$/u.test(text[i]))
			throw new Rejected(`Invalid ${what} ("${text}"): illegal character: ${/[\ud800-\udfff]/.test(text[i]) ? '?' : text[i]}`);
}

// Checks one point: {metric, timestamp (BigInt), value (BigInt or number), tags (Map)}, or Rejected.
// `knows(metric)`: whether the metric has a UID or may get one.
function check_point(point, knows) {
	if (point === null)
		throw new Rejected('Unexpected null datapoint encountered in set.');
	if (!point.metric)
		throw new Rejected('Metric name was empty');
	if (point.timestamp <= 0n)
		throw new Rejected('Invalid timestamp');
	if (!point.value)
		throw new Rejected('Empty value');
	if (!point.tags || point.tags.size === 0)
		throw new Rejected('Missing tags');
	const value = /[.eE]/.test(point.value) ? parse_double(point.value) : parse_long(point.value);
	if (typeof value === 'number' && !Number.isFinite(value))
		throw new Rejected(`value is NaN or Infinite: ${value} for metric=${point.metric} timestamp=${point.timestamp}`);
	if (point.timestamp > 0xffffffffn && point.timestamp > 9999999999999n)
		throw new Rejected(`bad timestamp=${point.timestamp} when trying to add value=${point.value} to metric=${point.metric}, tags=${tags_text(point.tags)}`);
	if (point.tags.size > MAX_TAGS)
		throw new Rejected(`Too many tags: ${point.tags.size} maximum allowed: ${MAX_TAGS}, tags: ${tags_text(point.tags)}`);
	check_string('metric name', point.metric);
	for (const [k, v] of point.tags) {
		check_string(`tag name with value [${v}]`, k);
		check_string(`tag value with key [${k}]`, v);
	}
	if (!knows(point.metric))
		throw new Rejected('Unknown metric');
	return { metric: point.metric, timestamp: point.timestamp, value, tags: point.tags };
}

module.exports = { parse_body, check_point, check_string, Refused, Rejected };
