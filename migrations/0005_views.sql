-- What the operator looks at with psql. No credential, no QR code.

create view phone_number_details as
select p.id, p.user_id, u.email, p.instance_name, p.phone_number, p.display_name, p.status, p.status_reason,
       p.server_instance, p.webhook_url, p.created_at, p.first_connected_at, p.last_event_at,
       coalesce(s.messages_sent, 0) as messages_sent_today,
       coalesce(s.messages_received, 0) as messages_received_today,
       coalesce(s.media_sent, 0) as media_sent_today,
       coalesce(s.media_received, 0) as media_received_today
  from phone_numbers p
  join users u on u.id = p.user_id
  left join message_stats s on s.phone_number_id = p.id and s.date = (now() at time zone u.time_zone)::date
 where p.deleted_at is null;

create view user_dashboard as
select u.id as user_id, u.email, u.full_name, u.company_name, u.plan_type, u.status,
       u.max_phone_numbers, u.max_messages_per_day,
       numbers.total as phone_numbers, numbers.connected as connected_phone_numbers,
       coalesce(usage.used, 0) as messages_used_today,
       traffic.messages_sent_today, traffic.messages_received_today
  from users u
  left join daily_usage usage on usage.user_id = u.id and usage.day = (now() at time zone u.time_zone)::date
 cross join lateral (
   select count(*) as total, count(*) filter (where p.status = 'connected') as connected
     from phone_numbers p where p.user_id = u.id and p.deleted_at is null) numbers
 cross join lateral (
   select coalesce(sum(s.messages_sent), 0) as messages_sent_today,
          coalesce(sum(s.messages_received), 0) as messages_received_today
     from phone_numbers p
     join message_stats s on s.phone_number_id = p.id and s.date = (now() at time zone u.time_zone)::date
    where p.user_id = u.id) traffic;
