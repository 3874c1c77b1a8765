"""Short stories with several questions each, by what they are about.

Amounts: `change`, `transfers`, `comparison`, `two_kinds`, `days`, `per_day`, `parts`. Equal parts: `groups`, `rooms`,
`sharing`, `packing`, `pairs`. Money: `money`, `earning`. Measures: `measures`, `sizes`, `moves`.
"""
