// SPDX-License-Identifier: Apache-2.0
// POST /api/query of OpenTSDB 2.4 over points in memory: per series downsample, then aggregation of
// each group at the union of the timestamps. Whatever it does not know it refuses.
'use strict';

class BadQuery extends Error {}

const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000, w: 604800000, n: 2592000000, y: 31536000000 };

function duration(text) {
	const [, number, unit] = /^([0-9]+)(ms|[smhdwny])$/.exec(text) ?? [];
	if (!unit || Number(number) <= 0)
		throw new BadQuery(`Invalid duration (number): ${text}`);
	return Number(number) * UNITS[unit];
}

// Milliseconds. Absolute dates are UTC.
function time(value, what) {
	if (value === undefined || value === null || value === '') {
		if (what === 'start')
			throw new BadQuery('Missing start time');
		return Date.now();
	}
	const text = String(value);
	if (text === 'now')
		return Date.now();
	if (text.endsWith('-ago'))
		return Date.now() - duration(text.slice(0, -4));
	const date = /^([0-9]{4})\/([0-9]{2})\/([0-9]{2})(?:[- ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?)?$/.exec(text);
	if (date)
		return Date.UTC(date[1], date[2] - 1, date[3], date[4] ?? 0, date[5] ?? 0, date[6] ?? 0);
	if (!/^[0-9]+(\.[0-9]{1,3})?$/.test(text))
		throw new BadQuery(`Invalid date: ${text}`);
	const number = Number(text);
	return number > 0xffffffff ? Math.trunc(number) : Math.trunc(number * 1000);
}

const sum = (values) => values.reduce((a, b) => a + b);
const least = (values) => values.reduce((a, b) => (b < a ? b : a));
const most = (values) => values.reduce((a, b) => (b > a ? b : a));
// BigInt division drops the fraction, as Java's does: the mean of integers is one.
const mean = (values) => (typeof values[0] === 'bigint' ? sum(values) / BigInt(values.length) : sum(values) / values.length);
// For a series without a point at that moment: the value between its neighbours, zero, or nothing.
const AGGREGATORS = {
	sum: { of: sum, missing: 'between' }, avg: { of: mean, missing: 'between' },
	min: { of: least, missing: 'between' }, max: { of: most, missing: 'between' },
	zimsum: { of: sum, missing: 'zero' }, mimmin: { of: least, missing: 'none' }, mimmax: { of: most, missing: 'none' },
	count: { of: (values) => BigInt(values.length), missing: 'none' },
	first: { of: (values) => values[0], missing: 'none' }, last: { of: (values) => values[values.length - 1], missing: 'none' },
	none: null,
};

function aggregator(name, what) {
	if (!name)
		throw new BadQuery('Missing the aggregation function');
	if (!(name in AGGREGATORS))
		throw new BadQuery(`No such ${what} function: ${name}`);
	return AGGREGATORS[name];
}

function downsampling(text) {
	if (!text)
		return null;
	const [interval, name, fill, ...more] = String(text).split('-');
	if (name === undefined)
		throw new BadQuery(`Invalid downsampling specifier '${text}': must provide at least interval and function`);
	if (more.length > 0)
		throw new BadQuery(`Invalid downsampling specifier '${text}': must consist of interval, function, and optional fill policy`);
	const how = aggregator(name, 'downsampling');
	if (how === null)
		throw new BadQuery('cannot use the NONE aggregator for downsampling');
	if (fill !== undefined && fill !== 'none')
		throw new BadQuery(`the double has no fill policy ${fill}`);
	return { interval: duration(interval), of: how.of };
}

function escaped(text) {
	return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

// {tagk, matches(v), literals, group_by}
function filter_of(type, tagk, text, group_by) {
	if (!text)
		throw new BadQuery('Filter cannot be null or empty');
	const no_case = type[0] === 'i';
	switch (type) {
	case 'literal_or':
	case 'iliteral_or': {
		const fold = (v) => (no_case ? v.toLowerCase() : v);
		const literals = text.split('|').filter((v) => v !== '');
		const wanted = new Set(literals.map(fold));
		return { tagk, group_by, literals: no_case ? [] : literals, matches: (v) => wanted.has(fold(v)) };
	}
	case 'wildcard':
	case 'iwildcard': {
		if (!text.includes('*'))
			throw new BadQuery('Filter must contain an asterisk');
		const pattern = new RegExp(`^${text.split('*').map(escaped).join('.*')}$`, no_case ? 'si' : 's');
		return { tagk, group_by, literals: [], matches: (v) => pattern.test(v) };
	}
	default:
		throw new BadQuery(`the double has no filter ${type}`);
	}
}

function filters_of(query) {
	const filters = [];
	for (const [k, v] of Object.entries(query.tags ?? {})) {
		// Jackson has made a string of it.
		const text = String(v);
		filters.push(filter_of(text.includes('*') ? 'iwildcard' : 'literal_or', k, text, true));
	}
	for (const f of query.filters ?? [])
		filters.push(filter_of(f.type, f.tagk, f.filter, f.groupBy === true));
	return filters;
}

function resolve(store, query, filters, skip_unresolved) {
	const unknown = (kind, name) => {
		throw new BadQuery(`No such name for '${kind}': '${name}'`);
	};
	if (!store.uids.metric.has(query.metric))
		unknown('metrics', query.metric);
	for (const f of filters) {
		if (!store.uids.tagk.has(f.tagk))
			unknown('tagk', f.tagk);
		for (const v of f.literals)
			if (!store.uids.tagv.has(v) && !skip_unresolved)
				unknown('tagv', v);
	}
}

// [[ms, value]...] in order, of one series.
function points_of(series, start, end, down) {
	const points = [...series.points.values()]
		.map((p) => [p.timestamp > 0xffffffffn ? Number(p.timestamp) : Number(p.timestamp) * 1000, p.value])
		.sort((a, b) => a[0] - b[0]);
	if (!down)
		return points.filter(([t]) => t >= start && t <= end);
	const buckets = new Map();
	for (const [t, v] of points) {
		const bucket = t - (t % down.interval);
		// Only those that begin within the range, but then whole.
		if (bucket < start || bucket > end)
			continue;
		if (!buckets.has(bucket))
			buckets.set(bucket, []);
		buckets.get(bucket).push(Number(v));
	}
	return [...buckets].sort((a, b) => a[0] - b[0]).map(([t, values]) => [t, Number(down.of(values))]);
}

function between(points, t) {
	const next = points.findIndex((p) => p[0] > t);
	if (next <= 0)
		return undefined;
	const [x0, y0] = points[next - 1], [x1, y1] = points[next];
	if (typeof y0 === 'bigint')
		return y0 + BigInt(t - x0) * (y1 - y0) / BigInt(x1 - x0);
	return y0 + (t - x0) * (y1 - y0) / (x1 - x0);
}

function aggregate(list, how) {
	// One double among them makes doubles of all.
	if (list.some((points) => points.some((p) => typeof p[1] === 'number')))
		list = list.map((points) => points.map(([t, v]) => [t, Number(v)]));
	const at = list.map((points) => new Map(points));
	const moments = [...new Set(list.flatMap((points) => points.map((p) => p[0])))].sort((a, b) => a - b);
	return moments.map((t) => {
		const values = [];
		list.forEach((points, i) => {
			const own = at[i].get(t);
			const value = own !== undefined || how.missing !== 'between' ? own : between(points, t);
			// A missing zero adds nothing.
			if (value !== undefined)
				values.push(value);
		});
		return [t, how.of(values)];
	});
}

// As Double.toString() writes it.
function java_number(value) {
	if (typeof value === 'bigint')
		return String(value);
	const size = Math.abs(value);
	if (size === 0)
		return Object.is(value, -0) ? '-0.0' : '0.0';
	if (size >= 1e-3 && size < 1e7) {
		const text = String(value);
		return text.includes('.') ? text : `${text}.0`;
	}
	const [digits, exponent] = value.toExponential().split('e');
	return `${digits.includes('.') ? digits : `${digits}.0`}E${Number(exponent)}`;
}

function result_text(metric, members, points, options) {
	const tags = {}, differ = [];
	const keys = new Set(members.flatMap((s) => [...s.tags.keys()]));
	for (const k of keys) {
		const values = new Set(members.map((s) => s.tags.get(k)));
		if (values.size === 1)
			tags[k] = members[0].tags.get(k);
		else if (members.every((s) => s.tags.has(k)))
			differ.push(k);
	}
	const stamped = points.map(([t, v]) => [options.ms ? t : Math.trunc(t / 1000), java_number(v)]);
	const dps = options.arrays ? `[${stamped.map(([t, v]) => `[${t},${v}]`).join(',')}]` :
		`{${[...new Map(stamped)].map(([t, v]) => `"${t}":${v}`).join(',')}}`;
	return `{"metric":${JSON.stringify(metric)},"tags":${JSON.stringify(tags)},"aggregateTags":${JSON.stringify(differ.sort())},"dps":${dps}}`;
}

function run_one(store, query, start, end, options) {
	const how = aggregator(query.aggregator, 'aggregation');
	if (!query.metric)
		throw new BadQuery('Missing the metric or tsuids, provide at least one');
	if (query.rate)
		throw new BadQuery('the double has no rates');
	const down = downsampling(query.downsample), filters = filters_of(query);
	resolve(store, query, filters, options.skip_unresolved);
	const groups = new Map();
	for (const series of store.series.values()) {
		if (series.metric !== query.metric || !filters.every((f) => series.tags.has(f.tagk) && f.matches(series.tags.get(f.tagk))))
			continue;
		const points = points_of(series, start, end, down);
		if (points.length === 0)
			continue;
		const key = how === null ? series.key : filters.filter((f) => f.group_by).map((f) => series.tags.get(f.tagk)).join('\0');
		if (!groups.has(key))
			groups.set(key, { members: [], points: [] });
		groups.get(key).members.push(series);
		groups.get(key).points.push(points);
	}
	return [...groups.values()].map((g) =>
		result_text(query.metric, g.members, how === null ? g.points[0] : aggregate(g.points, how), options));
}

// The text of the answer, or BadQuery. `options`: arrays, skip_unresolved.
function run(store, body, options) {
	const start = time(body.start, 'start'), end = time(body.end, 'end');
	if (end <= start)
		throw new BadQuery(`End time [${end}] must be greater than the start time [${start}]`);
	if (!Array.isArray(body.queries) || body.queries.length === 0)
		throw new BadQuery('Missing queries');
	const all = { ...options, ms: body.msResolution === true };
	return `[${body.queries.flatMap((q) => run_one(store, q, start, end, all)).join(',')}]`;
}

module.exports = { run, BadQuery, aggregators: Object.keys(AGGREGATORS).sort() };
