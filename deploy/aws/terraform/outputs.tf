output "egress" {
  description = "For HTTP_PROXY and HTTPS_PROXY of the agent, with its name and the token as credentials."
  value       = "http://sandbox.${aws_service_discovery_private_dns_namespace.sandbox.name}:8080"
}

output "traces" {
  description = "Where the agent's runs are told."
  value       = "http://sandbox.${aws_service_discovery_private_dns_namespace.sandbox.name}:8081/v1/traces"
}

output "security_group_id" {
  description = "The sandbox's own group."
  value       = aws_security_group.sandbox.id
}
