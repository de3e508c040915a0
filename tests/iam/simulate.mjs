// node simulate.mjs QUESTIONS ANSWERS: what @cloud-copilot/iam-simulate says of each question.
//
// QUESTIONS: {"account", "identity": {ROLE: [DOCUMENT]}, "resource": {ARN: DOCUMENT}, "calls": [{role, action, resource,
// context, policy_of}]}, where policy_of names the resource whose policy counts, if it has one.
// ANSWERS: [{"verdict": "Allowed" | "ImplicitlyDenied" | "ExplicitlyDenied" | "Error", "ignored": [KEY], "why"}].

import { readFileSync, writeFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const everything = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
}

async function answer(told, { role, action, resource, context, policy_of }) {
  const result = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${told.account}:assumed-role/${role}/session`,
        action,
        resource: { resource, accountId: told.account },
        contextVariables: context,
      },
      identityPolicies: told.identity[role].map((policy, number) => ({ name: `policy-${number}`, policy })),
      resourcePolicy: told.resource[policy_of],
      serviceControlPolicies: [{ orgIdentifier: 'o', policies: [{ name: 'everything', policy: everything }] }],
      resourceControlPolicies: [],
    },
    {}
  )
  if (result.resultType === 'error') {
    return { verdict: 'Error', ignored: [], why: JSON.stringify(result.errors) }
  }
  const ignored = result.resultType === 'single' ? result.result.ignoredContextKeys : []
  return { verdict: result.overallResult, ignored: ignored ?? [], why: '' }
}

const told = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const answers = []
for (const call of told.calls) answers.push(await answer(told, call))
writeFileSync(process.argv[3], JSON.stringify(answers))
