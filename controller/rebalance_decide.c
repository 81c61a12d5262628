// SPDX-License-Identifier: Apache-2.0
#include "rebalance_decide.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rebalance_pairs.h"
#include "rebalance_roles.h"
#include "rebalance_tracker.h"
#include "rebalance_weights.h"
#include "rule.h"
#include "split.h"
#include "ebb/cleanup.h"

/* --- rules --- */

/* That of the level, or else the one for all of them. Nothing takes the place of one that was
 * switched off. */
static struct jsonlogic *find_rule(const json_t *docs, enum rebalance_level level,
				   enum ebb_resource resource, const char *which, char *ret_name,
				   size_t size)
{
	struct jsonlogic *logic = NULL;
	const json_t *doc;

	snprintf(ret_name, size, "%s_%s_usage_%s", rebalance_level_name(level),
		 ebb_resource_name(resource), which);
	doc = json_object_get(docs, ret_name);
	if (!doc) {
		snprintf(ret_name, size, "%s_usage_%s", ebb_resource_name(resource), which);
		doc = json_object_get(docs, ret_name);
	}
	if (json_is_true(json_object_get(doc, "active")))
		(void)jsonlogic_compile(json_object_get(doc, "rule"), rule_variable_index, NULL,
					&logic, NULL);
	return logic;
}

void rebalance_rules_load(const json_t *docs, struct rebalance_rules *ret_rules)
{
	for (int level = 0; level < REBALANCE_LEVEL_MAX; level++) {
		for (int resource = 0; resource < EBB_RESOURCE_MAX; resource++) {
			struct rebalance_rule *rule = &ret_rules->of[level][resource];
			char low_name[sizeof(rule->high_name)];

			rule->low =
				find_rule(docs, level, resource, "low", low_name, sizeof(low_name));
			rule->high = find_rule(docs, level, resource, "high", rule->high_name,
					       sizeof(rule->high_name));
		}
	}
}

void rebalance_rules_clear(struct rebalance_rules *rules)
{
	for (int level = 0; level < REBALANCE_LEVEL_MAX; level++) {
		for (int resource = 0; resource < EBB_RESOURCE_MAX; resource++) {
			jsonlogic_free(rules->of[level][resource].low);
			jsonlogic_free(rules->of[level][resource].high);
		}
	}
	*rules = (struct rebalance_rules){};
}

/* --- members --- */

/* The members of one level that have a resource, those of a domain next to each other. */
struct place {
	size_t domain[2];
	size_t node;
};

struct round {
	const struct rebalance_config *config;
	const struct rebalance_rules *rules;
	struct rebalance_snapshot *snapshot;
	struct rebalance_decision *decision;
	enum rebalance_level level;
	size_t k;
	bool moves_max;
	/* Room for all nodes of the largest level. */
	struct place *places;
	struct rebalance_member *members;
	struct rebalance_pair *pairs;
	double *numbers; /* RULE_VARIABLES */
};

static int by_domain(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	for (int i = 0; i < 2; i++)
		if (x->domain[i] != y->domain[i])
			return x->domain[i] < y->domain[i] ? -1 : 1;
	return (x->node > y->node) - (x->node < y->node);
}

/* Shares of containers stay on their host. */
static struct place place_of(const struct round *round, size_t i)
{
	const struct rebalance_node *node = &round->snapshot->levels[round->level].nodes[i];
	struct place place = {.node = i};

	if (round->level == REBALANCE_APPLICATION)
		place.domain[0] = node->parent;
	if (round->level == REBALANCE_CONTAINER) {
		place.domain[0] = node->host;
		place.domain[1] = round->config->host_scope ? 0 : node->parent;
	}
	return place;
}

static bool is_usable(const struct round *round, size_t node)
{
	const struct rebalance_snapshot *snapshot = round->snapshot;

	for (size_t k = 0; k < snapshot->n_resources; k++)
		if ((k == round->k || (snapshot->resources[round->k] == EBB_ENERGY &&
				       snapshot->resources[k] == EBB_CPU)) &&
		    !rebalance_value_of(snapshot, round->level, node, k)->usable)
			return false;
	return true;
}

static size_t find_places(const struct round *round)
{
	const struct rebalance_nodes *nodes = &round->snapshot->levels[round->level];
	size_t n = 0;

	for (size_t i = 0; i < nodes->n; i++) {
		const struct rebalance_node *node = &nodes->nodes[i];

		if (node->opted_out || (round->config->only_running && !node->running) ||
		    (round->level == REBALANCE_CONTAINER && node->host == REBALANCE_NONE) ||
		    !is_usable(round, i))
			continue;
		round->places[n++] = place_of(round, i);
	}
	if (n)
		qsort(round->places, n, sizeof(*round->places), by_domain);
	return n;
}

/* What rules read of a structure. */
static void fill_numbers(const struct round *round, size_t node)
{
	for (size_t k = 0; k < round->snapshot->n_resources; k++) {
		const struct rebalance_value *value =
			rebalance_value_of(round->snapshot, round->level, node, k);
		double *numbers = &round->numbers[round->snapshot->resources[k] *
						  RULE_VARIABLES_PER_RESOURCE];
		bool known = value->present;

		numbers[VAR_USAGE] = known ? value->usage : NAN;
		numbers[VAR_CURRENT] = known && value->current >= 0 ? (double)value->current : NAN;
		numbers[VAR_MAX] = known ? (double)value->max : NAN;
		numbers[VAR_MIN] = known ? (double)value->min : NAN;
	}
}

static enum rebalance_role role_of(const struct round *round, const struct rebalance_member *member)
{
	const struct rebalance_rule *rule =
		&round->rules->of[round->level][round->snapshot->resources[round->k]];
	const struct jsonlogic_numbers numbers = {round->numbers, RULE_VARIABLES};

	if (round->config->by_thresholds)
		return rebalance_role_by_thresholds(member, round->moves_max, round->config->diff);
	fill_numbers(round, member->node);
	return rebalance_role_by_rules(member, round->moves_max, rule->low, rule->high, &numbers);
}

static bool by_weights(const struct round *round)
{
	return round->config->by_weights && round->level == REBALANCE_CONTAINER;
}

static struct rebalance_member member_of(const struct round *round, size_t node)
{
	const struct rebalance_value *value =
		rebalance_value_of(round->snapshot, round->level, node, round->k);
	struct rebalance_member member = {
		.node = node,
		.max = value->max,
		.min = value->min,
		.current = value->current,
		.usage = value->usage,
		.weight = value->weight,
		.credit = value->credit,
		.stopped = round->snapshot->levels[round->level].nodes[node].stopped,
	};

	if (!by_weights(round))
		member.role = role_of(round, &member);
	return member;
}

/* --- one domain, one level --- */

/* As far as it can be done; the level below finds it done. */
static int add_swap(const struct round *round, struct rebalance_swap swap)
{
	struct rebalance_decision *decision = round->decision;
	int r = rebalance_lay_swap(round->snapshot, round->level, round->moves_max, round->k,
				   swap.donor, swap.receiver, swap.amount, &swap.amount);

	if (r < 0 || swap.amount == 0)
		return r;
	if (decision->n == decision->room) {
		size_t room = MAX(2 * decision->room, (size_t)64);
		struct rebalance_swap *grown = reallocarray(decision->swaps, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		decision->swaps = grown;
		decision->room = room;
	}
	decision->swaps[decision->n++] = swap;
	return 0;
}

static void count(struct rebalance_decision *decision, const struct rebalance_member *members,
		  size_t n, bool weights)
{
	for (size_t i = 0; i < n; i++) {
		decision->donors +=
			weights ? members[i].change < 0 : members[i].role == REBALANCE_DONOR;
		decision->receivers +=
			weights ? members[i].change > 0 : members[i].role == REBALANCE_RECEIVER;
	}
}

static int balance_domain(struct round *round, struct rebalance_member *members, size_t n)
{
	const struct rebalance_config *config = round->config;
	size_t n_pairs = 0;
	int r;

	if (by_weights(round))
		r = rebalance_weigh(members, n, round->moves_max, config->diff);
	else
		r = rebalance_deal(members, n, round->moves_max, config->stolen,
				   split_slice(round->snapshot->resources[round->k]));
	if (r >= 0 && config->compensate && !by_weights(round))
		r = rebalance_compensate(members, n, round->moves_max);
	if (r >= 0)
		r = rebalance_match(members, n, round->pairs, &n_pairs);
	count(round->decision, members, n, by_weights(round));
	for (size_t i = 0; r >= 0 && i < n_pairs; i++)
		r = add_swap(round, (struct rebalance_swap){
					    .level = round->level,
					    .k = round->k,
					    .donor = members[round->pairs[i].donor].node,
					    .receiver = members[round->pairs[i].receiver].node,
					    .amount = round->pairs[i].amount,
				    });
	return r;
}

static int balance_resource(struct round *round)
{
	size_t n = find_places(round);
	int r = 0;

	round->moves_max = rebalance_moves_max(round->level, round->snapshot->resources[round->k]);
	for (size_t i = 0; i < n; i++)
		round->members[i] = member_of(round, round->places[i].node);
	for (size_t first = 0, end; r >= 0 && first < n; first = end) {
		for (end = first + 1; end < n; end++)
			if (memcmp(round->places[end].domain, round->places[first].domain,
				   sizeof(round->places[first].domain)) != 0)
				break;
		r = balance_domain(round, round->members + first, end - first);
	}
	return r;
}

int rebalance_decide(const struct rebalance_config *config, const struct rebalance_rules *rules,
		     struct rebalance_snapshot *snapshot, struct rebalance_decision *ret_decision)
{
	size_t most = 0;
	int r = 0;

	for (int level = 0; level < REBALANCE_LEVEL_MAX; level++)
		most = MAX(most, snapshot->levels[level].n);
	_cleanup_free_ struct place *places = calloc(most + 1, sizeof(*places));
	_cleanup_free_ struct rebalance_member *members = calloc(most + 1, sizeof(*members));
	_cleanup_free_ struct rebalance_pair *pairs = calloc(most + 1, sizeof(*pairs));
	_cleanup_free_ double *numbers = calloc(RULE_VARIABLES, sizeof(*numbers));
	struct rebalance_decision decision = {};
	struct round round = {
		.config = config,
		.rules = rules,
		.snapshot = snapshot,
		.decision = &decision,
		.places = places,
		.members = members,
		.pairs = pairs,
		.numbers = numbers,
	};

	if (!places || !members || !pairs || !numbers)
		return -ENOMEM;
	for (size_t i = 0; i < RULE_VARIABLES; i++)
		numbers[i] = NAN;
	for (int level = 0; r >= 0 && level < REBALANCE_LEVEL_MAX; level++) {
		if (!(config->levels & 1u << level))
			continue;
		round.level = (enum rebalance_level)level;
		for (size_t k = 0; r >= 0 && k < snapshot->n_resources; k++) {
			/* CPU may be there only because energy is. */
			if (!(config->resources & 1u << snapshot->resources[k]))
				continue;
			round.k = k;
			r = balance_resource(&round);
		}
	}
	if (r < 0)
		rebalance_decision_clear(&decision);
	else
		*ret_decision = decision;
	return r;
}

void rebalance_decision_clear(struct rebalance_decision *decision)
{
	free(decision->swaps);
	*decision = (struct rebalance_decision){};
}
