// A request as a command for a shell. The key is never in it.

export function curlOf(url, body, withKey) {
  const key = withKey ? ` \\\n  -H "Authorization: Bearer $FEF_API_KEY"` : "";
  return `curl -N ${quote(url)} -H 'content-type: application/json'${key} \\\n  -d ${quote(JSON.stringify(body))}`;
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
